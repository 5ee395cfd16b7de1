#!/usr/bin/env node
// The entry point. Plain old JavaScript, so that a Node that is too old can say so in one line.
var version = process.versions.node.split(".").map(Number)
if (version[0] < 22 || (version[0] === 22 && version[1] < 19)) {
  console.error(
    "mc-proxy needs Node 22.19 or newer, and this is " +
      process.versions.node +
      "; in a checkout run it with npx mc-proxy after npm ci, which brings its own Node."
  )
  process.exit(1)
}
// Both are read when first needed, and only from the environment: threads for name look-ups and files (libuv), and how
// long a look-up may hold one (resolv.conf(5)), which also bounds how long the process takes to exit.
process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || "16"
process.env.RES_OPTIONS = process.env.RES_OPTIONS || "timeout:2 attempts:2"

// A checkout runs its sources, the published package what was built from them.
import("../src/bin/mc-proxy.ts")
  .catch(function (error) {
    if (
      error &&
      error.code === "ERR_MODULE_NOT_FOUND" &&
      error.url === new URL("../src/bin/mc-proxy.ts", import.meta.url).href
    ) {
      return import("../dist/bin/mc-proxy.js")
    }
    throw error
  })
  .catch(function (error) {
    if (!error || error.code !== "ERR_MODULE_NOT_FOUND" || !/^Cannot find package/.test(String(error.message)))
      throw error
    console.error("mc-proxy: its packages are not installed; run npm ci first")
    process.exit(1)
  })
