import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls"
import { startTlsBackend } from "./harness/Backend.ts"
import { trusted } from "./harness/Certificates.ts"
import { runProgram } from "./harness/Program.ts"
import { type Proxy, startProxy } from "./harness/Proxy.ts"
import { outcomesAtEnd } from "./harness/Refusal.ts"
import { within } from "./harness/Watch.ts"
import { splitAddress } from "./harness/Wire.ts"

// Every client checks the certificate against its own name, so that an answer proves which backend gave it.

/** The proxy before one TLS backend for each name, and a file with what its clients trust. */
const start = Effect.fnUntraced(function* (names: ReadonlyArray<string>, serve: (socket: TLSSocket) => void) {
  const routes = yield* Effect.forEach(names, (hostname) =>
    Effect.map(startTlsBackend(hostname, serve, { ALPNProtocols: ["http/1.1"] }), (backend) => ({ hostname, backend }))
  )
  const proxy = yield* startProxy({ listeners: [{ routes }] })
  const cafile = join(proxy.folder, "ca.pem")
  writeFileSync(cafile, trusted)
  return { cafile, port: splitAddress(proxy.address).port, proxy }
})

const expectDone = Effect.fnUntraced(function* (proxy: Proxy, hostname: string) {
  const line = yield* proxy.access()
  assert.include(line, { hostname, outcome: "done" })
  return line
})

it.live("serves curl over TLS 1.2 and 1.3, from the backend that its name is routed to", () =>
  Effect.gen(function* () {
    const http = createServer((request, response) => {
      response.end(`${request.headers.host} ${(request.socket as TLSSocket).getProtocol()} ${request.url}\n`)
    })
    const serve = (socket: TLSSocket) => void http.emit("connection", socket)
    const { cafile, port, proxy } = yield* start(["a.test", "b.test"], serve)
    for (const [name, version] of [
      ["a.test", "1.2"],
      ["a.test", "1.3"],
      ["b.test", "1.3"]
    ] as const) {
      const { code, stderr, stdout } = yield* runProgram("curl", [
        ...["--silent", "--show-error", "--cacert", cafile, "--resolve", `${name}:${port}:127.0.0.1`],
        ...[`--tlsv${version}`, "--tls-max", version, `https://${name}:${port}/path`]
      ])
      assert.deepStrictEqual(
        { code, stderr, stdout },
        { code: 0, stderr: "", stdout: `${name}:${port} TLSv${version} /path\n` }
      )
      // curl closes its socket whole, and the backend's close_notify, when it comes after that, meets a RST.
      const { hostname, outcome } = yield* proxy.access()
      assert.strictEqual(hostname, name)
      assert.include(["done", "reset"], outcome)
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), 3)
  })
)

it.live("serves openssl over TLS 1.2 and 1.3, its hello in one record or over many", () =>
  Effect.gen(function* () {
    const { cafile, port, proxy } = yield* start(["a.test"], (socket) =>
      socket.end(`hello over ${socket.getProtocol()}\n`)
    )
    for (const [version, options] of [
      ["1.2", []],
      ["1.3", []],
      ["1.3", ["-max_send_frag", "512", "-alpn", LONG_ALPN]]
    ] as const) {
      const { code, stderr, stdout } = yield* runProgram("openssl", [
        ...["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "a.test", "-verify_hostname", "a.test"],
        ...["-CAfile", cafile, "-verify_return_error", "-brief", "-ign_eof"],
        ...[`-tls${version.replace(".", "_")}`, ...options]
      ])
      assert.strictEqual(code, 0, stderr)
      assert.include(stderr, "Verification: OK")
      assert.include(stdout, `hello over TLSv${version}\n`)
      const { from_client } = yield* expectDone(proxy, "a.test")
      if (options.length > 0) assert.isAbove(from_client, LONG_ALPN.length)
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), 3)
  })
)

/** Makes a hello of four records of 512 bytes, or more. */
const LONG_ALPN = ["http/1.1", ...Array.from({ length: 200 }, (_, i) => `protocol-${i}`)].join()

it.live("leaves the TLS session to client and backend: its protocol, its resumption and its bytes", () =>
  Effect.gen(function* () {
    const { port, proxy } = yield* start(["a.test"], (socket) => void socket.pipe(socket))
    const bytes = randomBytes(1024 * 1024)
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const options = { port, servername: "a.test", ca: trusted, ALPNProtocols: ["http/1.1"], maxVersion }
      const first = yield* echo(options, bytes)
      assert.deepStrictEqual(first.told, [maxVersion, "http/1.1", false])
      const second = yield* echo({ ...options, session: first.session }, bytes)
      assert.deepStrictEqual(second.told, [maxVersion, "http/1.1", true])
      for (let i = 0; i < 2; i++) {
        const { from_client, from_backend } = yield* expectDone(proxy, "a.test")
        assert.isAbove(Math.min(from_client, from_backend), bytes.length)
      }
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), 4)
  })
)

/** Sends bytes, checks that they come back, and tells what the handshake came to. */
const echo = (options: ConnectionOptions, bytes: Buffer) =>
  Effect.acquireUseRelease(
    Effect.sync(() => connectTls({ host: "127.0.0.1", ...options })),
    (socket) =>
      Effect.callback<{ readonly told: ReadonlyArray<unknown>; readonly session: Buffer }>((resume) => {
        const chunks: Array<Buffer> = []
        let session = Buffer.alloc(0)
        socket.on("session", (ticket) => (session = ticket))
        socket.on("data", (chunk: Buffer) => chunks.push(chunk))
        socket.on("end", () => {
          assert.isTrue(Buffer.concat(chunks).equals(bytes))
          resume(
            Effect.succeed({ told: [socket.getProtocol(), socket.alpnProtocol, socket.isSessionReused()], session })
          )
        })
        socket.on("error", (error) => resume(Effect.die(error)))
        socket.end(bytes)
      }).pipe(within("the echo")),
    (socket) => Effect.sync(() => socket.destroy())
  )
