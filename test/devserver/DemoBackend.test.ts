import { assert, describe, it } from "@effect/vitest"
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js"
import { Effect, Exit, Scope, Stream } from "effect"
import { CertificateAuthority } from "../../src/devserver/CertificateAuthority.ts"
import { API, ECHO, HELLO } from "../../src/devserver/Demo.ts"
import { GRPC_HEALTH } from "../../src/devserver/DemoAnswer.ts"
import { startDemoBackend } from "../../src/devserver/DemoBackend.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { formatSocketAddress } from "../../src/net/SocketAddress.ts"
import { writeProxyHeader } from "../../src/proxyproto/ProxyHeaderV2.ts"
import { ask, open, type Question } from "./DemoClient.ts"

const HOUR_MS = 60 * 60 * 1000
const ANY_PORT = { ip: parseIpAddress("127.0.0.1")!, port: 0 }

const makeAuthority = () => {
  const now = Date.now()
  return CertificateAuthority.make("tests", { from: new Date(now - HOUR_MS), to: new Date(now + HOUR_MS) })
}
const AUTHORITY = await makeAuthority()

const startHello = startDemoBackend(HELLO, await AUTHORITY.issue(HELLO.hostname), ANY_PORT)
const ECHO_IDENTITY = await AUTHORITY.issue(ECHO.hostname)
const API_IDENTITY = await AUTHORITY.issue(API.hostname)
const TO_HELLO: Question = { authority: AUTHORITY.certificate, hostname: HELLO.hostname }
const PROTOCOLS = [["h2"], ["http/1.1"], []] as const

describe("startDemoBackend", () => {
  it.live("shows a certificate that verifies for its name and no other", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      assert.strictEqual((yield* ask(hello, TO_HELLO)).status, 200)
      const otherName = yield* Effect.flip(ask(hello, { ...TO_HELLO, hostname: ECHO.hostname }))
      assert.strictEqual(otherName, "ERR_TLS_CERT_ALTNAME_INVALID")
      const other = yield* Effect.promise(makeAuthority)
      const otherAuthority = { ...TO_HELLO, authority: other.certificate }
      assert.match(yield* Effect.flip(ask(hello, otherAuthority)), /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/)
    })
  )

  it.live("speaks HTTP/2 and HTTP/1.1, and says which", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      const told = []
      for (const alpn of PROTOCOLS) {
        const { text } = yield* ask(hello, { ...TO_HELLO, alpn, path: "/there?x=1", method: "DELETE" })
        assert.include(text, "DELETE /there?x=1\n")
        told.push(/HTTP.*/.exec(text)?.[0])
      }
      assert.deepStrictEqual(told, [
        "HTTP/2.0, TLSv1.3, ALPN h2",
        "HTTP/1.1, TLSv1.3, ALPN http/1.1",
        "HTTP/1.1, TLSv1.3, ALPN none"
      ])
    })
  )

  it.live("speaks HTTP/2 in the clear where the proxy ends TLS, gRPC too, which a stock client understands", () =>
    Effect.gen(function* () {
      const address = yield* startDemoBackend(API, API_IDENTITY, ANY_PORT)
      const client = new Client(formatSocketAddress(address), credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => client.close()))
      const call = (path: string) =>
        Effect.callback<Buffer, ServiceError>((resume) => {
          const asIs = (bytes: Buffer) => bytes
          const deadline = { deadline: Date.now() + 5000 }
          client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), deadline, (error, answer) =>
            resume(error === null ? Effect.succeed(answer!) : Effect.fail(error))
          )
        })
      assert.deepStrictEqual(yield* call(GRPC_HEALTH), Buffer.of(8, 1))
      assert.strictEqual((yield* Effect.flip(call("/a.Service/Call"))).code, status.UNIMPLEMENTED)
    })
  )

  it.live("answers HEAD with the length alone", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      for (const alpn of PROTOCOLS) {
        const { bytes, headers, status } = yield* ask(hello, {
          ...TO_HELLO,
          alpn,
          method: "HEAD",
          path: "/bytes/100000"
        })
        assert.strictEqual(status, 200)
        assert.strictEqual(headers["content-length"], "100000")
        assert.strictEqual(bytes.length, 0)
      }
    })
  )

  it.live("streams bytes and echoes bodies", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
      for (const alpn of PROTOCOLS) {
        assert.strictEqual((yield* ask(hello, { ...TO_HELLO, alpn, path: "/bytes/1000000" })).bytes.length, 1_000_000)
        const echoed = yield* ask(hello, { ...TO_HELLO, alpn, path: "/echo", method: "POST", body })
        assert.isTrue(echoed.bytes.equals(body))
      }
    })
  )

  it.live("sends the first slow line before the rest is there, and lets the client go", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      for (const alpn of PROTOCOLS) {
        const first = yield* Effect.scoped(
          Effect.flatMap(open(hello, { ...TO_HELLO, alpn, path: "/slow" }), ({ body }) => Stream.runHead(body))
        )
        assert.strictEqual(first._tag === "Some" && Buffer.from(first.value).toString("utf8").split("\n").length, 2)
      }
      assert.strictEqual((yield* ask(hello, TO_HELLO)).status, 200)
    })
  )

  it.live("reads a PROXY header ahead of the TLS, however it is split, and shows the client that it names", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      const client = { ip: parseIpAddress("203.0.113.7")!, port: 4321 }
      const header = writeProxyHeader({ client, destination: ANY_PORT, authority: HELLO.hostname, uniqueId: "id" })
      for (let cut = 0; cut <= header.length; cut++) {
        const preface = [header.subarray(0, cut), header.subarray(cut)]
        assert.match((yield* ask(hello, { ...TO_HELLO, preface })).text, /client +203\.0\.113\.7:4321\n/)
      }
      assert.match((yield* ask(hello, TO_HELLO)).text, /client +not told/)
    })
  )

  it.live("names its peer", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      for (const alpn of PROTOCOLS) {
        const { port, text } = yield* ask(hello, { ...TO_HELLO, alpn })
        assert.include(text, `peer     127.0.0.1:${port}\n`)
        assert.include(text, `backend  127.0.0.1:${hello.port}\n`)
      }
    })
  )

  it.live("goes on after clients that speak no TLS, or break off", () =>
    Effect.gen(function* () {
      const hello = yield* startHello
      const garbage = { ...TO_HELLO, preface: [Buffer.from("GET / HTTP/1.1\r\n\r\n")] }
      yield* Effect.flip(ask(hello, garbage))
      for (const alpn of PROTOCOLS) yield* Effect.scoped(open(hello, { ...TO_HELLO, alpn, path: "/bytes/1000000000" }))
      assert.strictEqual((yield* ask(hello, TO_HELLO)).status, 200)
    })
  )

  it.live("ends its listener, connections and answers with its scope", () =>
    Effect.gen(function* () {
      for (const alpn of PROTOCOLS) {
        const scope = yield* Scope.make()
        const hello = yield* Scope.provide(startHello, scope)
        const { body } = yield* open(hello, { ...TO_HELLO, alpn, path: "/bytes/1000000000" })
        yield* Scope.close(scope, Exit.void)
        let received = 0
        const drained = Stream.runForEach(body, (chunk) => Effect.sync(() => (received += chunk.length)))
        yield* Effect.ignore(drained)
        assert.isBelow(received, 1_000_000_000)
        assert.strictEqual(yield* Effect.flip(ask(hello, TO_HELLO)), "ECONNREFUSED")
      }
    })
  )

  it.live("says where it cannot listen and why", () =>
    Effect.gen(function* () {
      const taken = yield* startHello
      const { message } = yield* Effect.flip(startDemoBackend(ECHO, ECHO_IDENTITY, taken))
      assert.strictEqual(
        message,
        `the demo backend echo.example.test cannot listen on 127.0.0.1:${taken.port}: the port is in use; ` +
          `stop what uses it, or choose another`
      )
      const elsewhere = { ip: parseIpAddress("203.0.113.1")!, port: 0 }
      const other = yield* Effect.flip(startDemoBackend(ECHO, ECHO_IDENTITY, elsewhere))
      assert.match(other.message, /203\.0\.113\.1:0: this machine has no such address; choose another$/)
    })
  )
})
