// Emits what is published into dist/, from nothing: JavaScript and types, and the live page as it is.
import { execFileSync } from "node:child_process"
import { cpSync, rmSync } from "node:fs"

rmSync("dist", { recursive: true, force: true })
execFileSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" })
cpSync("src/metrics/live", "dist/metrics/live", { recursive: true })
