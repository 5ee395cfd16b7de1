/**
 * nghttpd, the server of HTTP/2 that comes with nghttp2, as a backend.
 *
 * It sends back what is sent to it, and files of its folder, with the trailer `x-out: nghttpd` behind each body. The
 * test's scope owns the process.
 */
import { Effect, Result } from "effect"
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { identityOf } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { startProgram } from "../harness/Program.ts"
import { eventually } from "../load/ProcessState.ts"

/** Starts it for a name with TLS, or in the clear where there is none; gives its `ip:port`. */
export const startNghttpd = Effect.fnUntraced(function* (files: string, tlsName?: string) {
  const folder = yield* temporaryFolder
  const options = ["--address=127.0.0.1", `--htdocs=${files}`, "--echo-upload", "--trailer=x-out: nghttpd"]
  // The system chooses the port.
  const args =
    tlsName === undefined ? [...options, "--no-tls", "0"] : [...options, "0", ...(yield* pair(folder, tlsName))]
  const { pid } = yield* startProgram("nghttpd", args)
  const port = yield* eventually(
    "nghttpd to listen",
    () => listeningPortOf(pid),
    (found) => found !== undefined
  )
  return `127.0.0.1:${port}`
})

const pair = Effect.fnUntraced(function* (folder: string, name: string) {
  const { certificate, key } = yield* Effect.promise(() => identityOf(name))
  const files = [join(folder, "key.pem"), join(folder, "certificate.pem")]
  writeFileSync(files[0]!, key)
  writeFileSync(files[1]!, certificate)
  return files
})

/** It does not tell which port it was given, and the kernel does: proc_pid_net(5). */
const listeningPortOf = (pid: number): number | undefined => {
  const folder = `/proc/${pid}/fd`
  // What is open may be closed before it is looked at.
  const target = (fd: string) => Result.getOrUndefined(Result.try(() => readlinkSync(join(folder, fd))))
  const sockets = new Set(readdirSync(folder).map(target))
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n")) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/ +/)
    if (state === LISTENING && sockets.has(`socket:[${inode}]`)) return Number.parseInt(local.split(":")[1]!, 16)
  }
  return undefined
}

const LISTENING = "0A"
