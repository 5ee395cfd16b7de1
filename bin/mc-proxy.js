#!/usr/bin/env node
import { launch } from "./launch.js"

// Both are read when first needed, and only from the environment: threads for name look-ups and files (libuv), and how
// long a look-up may hold one (resolv.conf(5)), which also bounds how long the process takes to exit.
process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || "16"
process.env.RES_OPTIONS = process.env.RES_OPTIONS || "timeout:2 attempts:2"

launch("mc-proxy")
