import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { API, ECHO, HELLO } from "../../src/devserver/Demo.ts"
import { answer, BYTES_MAX, GRPC, GRPC_HEALTH, SLOW_LINES, type DemoRequest } from "../../src/devserver/DemoAnswer.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"

const address = (ip: string, port: number) => ({ ip: parseIpAddress(ip)!, port })

const REQUEST: DemoRequest<never> = {
  method: "GET",
  target: "/",
  httpVersion: "2.0",
  tlsVersion: "TLSv1.3",
  alpn: "h2",
  local: address("127.0.0.1", 18443),
  peer: address("127.0.0.1", 50000),
  client: undefined,
  contentType: "",
  forwardedFor: "",
  body: Stream.empty
}

const textOf = (body: Stream.Stream<Uint8Array>) =>
  Effect.map(Stream.runCollect(body), (chunks) => Buffer.concat(chunks).toString("utf8"))

describe("answer", () => {
  it.effect("tells who answers, what was asked, and over what", () =>
    Effect.gen(function* () {
      const { body, bytes, status } = answer(ECHO, { ...REQUEST, method: "PUT", target: "/some/path?a=/bytes/1" })
      const text = yield* textOf(body)
      assert.strictEqual(status, 200)
      assert.strictEqual(bytes, text.length)
      for (const told of ["echo.example.test", "PUT /some/path?a=/bytes/1", "HTTP/2.0", "TLSv1.3", "ALPN h2"]) {
        assert.include(text, told)
      }
      assert.match(text, /backend +127\.0\.0\.1:18443\n/)
      assert.match(text, /peer +127\.0\.0\.1:50000\n/)
    })
  )

  it.effect("tells that the proxy has ended TLS, and whom it named as the client", () =>
    Effect.gen(function* () {
      const { body } = answer(API, { ...REQUEST, tlsVersion: "", alpn: "", forwardedFor: "192.0.2.7" })
      const text = yield* textOf(body)
      assert.match(text, /over +HTTP\/2\.0, no TLS\n/)
      assert.match(text, /client +192\.0\.2\.7, by X-Forwarded-For\n/)
    })
  )

  it.effect("answers gRPC's health check in its own form, and no other call", () =>
    Effect.gen(function* () {
      const call = (target: string) => answer(API, { ...REQUEST, method: "POST", contentType: GRPC, target })
      const { body, contentType, trailers } = call(GRPC_HEALTH)
      assert.deepStrictEqual([contentType, trailers], [GRPC, { "grpc-status": "0" }])
      assert.deepStrictEqual(Buffer.concat(yield* Stream.runCollect(body)), Buffer.of(0, 0, 0, 0, 2, 8, 1))
      const other = call("/a.Service/Call")
      assert.deepStrictEqual(other.trailers, { "grpc-status": "12" })
      assert.strictEqual(yield* textOf(other.body), "")
    })
  )

  it.effect("tells apart no ALPN, and a client that a PROXY header named", () =>
    Effect.gen(function* () {
      const told = yield* textOf(answer(HELLO, { ...REQUEST, alpn: "", client: address("2001:db8::7", 443) }).body)
      assert.match(told, /ALPN none\n/)
      assert.match(told, /client +\[2001:db8::7\]:443\n/)
      assert.match(yield* textOf(answer(HELLO, REQUEST).body), /client +not told/)
    })
  )

  it.effect("gives back what it is sent at /echo", () =>
    Effect.gen(function* () {
      const pieces = ["these ", "", "words"].map((text) => Buffer.from(text))
      const { body, bytes } = answer(ECHO, { ...REQUEST, target: "/echo?x", body: Stream.fromIterable(pieces) })
      assert.isUndefined(bytes)
      assert.strictEqual(yield* textOf(body), "these words")
    })
  )

  it.effect("streams exactly as many bytes as /bytes asks for", () =>
    Effect.gen(function* () {
      for (const count of [0, 1, 65535, 65536, 65537, 131072, 200_000]) {
        const { body, bytes, status } = answer(HELLO, { ...REQUEST, target: `/bytes/${count}` })
        assert.strictEqual(status, 200)
        assert.strictEqual(bytes, count)
        assert.strictEqual(
          yield* Stream.runFold(
            body,
            () => 0,
            (sum, chunk) => sum + chunk.length
          ),
          count
        )
      }
    })
  )

  it.effect("refuses a number of bytes that is none or too large", () =>
    Effect.gen(function* () {
      assert.strictEqual(answer(HELLO, { ...REQUEST, target: `/bytes/${BYTES_MAX}` }).bytes, BYTES_MAX)
      for (const count of [`${BYTES_MAX + 1}`, "9".repeat(400), "", "x", "-1", "1.5", "1e3", "1/2"]) {
        const { body, status } = answer(HELLO, { ...REQUEST, target: `/bytes/${count}` })
        assert.strictEqual(status, 400, count)
        assert.include(yield* textOf(body), `${BYTES_MAX}`)
      }
    })
  )

  it.effect("gives a line a second at /slow, the first at once", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const { body } = answer(HELLO, { ...REQUEST, target: "/slow" })
      const running = yield* Effect.forkChild(
        Stream.runForEach(body, (line) => Effect.sync(() => lines.push(Buffer.from(line).toString("utf8"))))
      )
      yield* TestClock.adjust(0)
      for (let seconds = 0; seconds < SLOW_LINES; seconds++) {
        assert.strictEqual(lines.length, seconds + 1)
        assert.strictEqual(lines.at(-1), `hello.example.test: line ${seconds + 1} of ${SLOW_LINES}\n`)
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(lines.length, SLOW_LINES)
      yield* Fiber.join(running)
    })
  )
})
