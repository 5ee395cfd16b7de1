#!/usr/bin/env node
import { setFlagsFromString } from "v8"
import { launch } from "./launch.js"

// Both are read when first needed, and only from the environment: threads for name look-ups and files (libuv), and how
// long a look-up may hold one (resolv.conf(5)), which also bounds how long the process takes to exit.
process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || "16"
process.env.RES_OPTIONS = process.env.RES_OPTIONS || "timeout:2 attempts:2"

// V8 guesses how far a heap may grow until all of it is collected, and guessed wrong both ways: by a fifth when rules
// were imported into a calm proxy, whose connections waited for it each time, and up to fourfold under load, when so
// much memory cost more than collecting it. So it is twice what was alive, in every thread. It is said here, before the
// server is loaded: said by the server itself, it was no help to every other run of `bench:requests`.
setFlagsFromString("--heap-growing-percent=100")

launch("mc-proxy")
