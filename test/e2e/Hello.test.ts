import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { clientHello, concat, inRecords, record, serverName } from "../tls/TlsBuilder.ts"
import { startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { assertRefused, outcomesAtEnd } from "./harness/Refusal.ts"
import { connect } from "./harness/Wire.ts"

const captured = (file: string) => readFileSync(new URL(`../tls/hellos/${file}`, import.meta.url))

/** A hello of exactly so many bytes, padded as RFC 7685 has it. */
const paddedHello = (name: string, bytes: number): Uint8Array => {
  const padded = (length: number) =>
    inRecords(clientHello({ extensions: [serverName(name), [21, new Uint8Array(length)]] }), [16384])
  return padded(bytes - padded(0).length)
}

const TLS = 22
const SERVER_HELLO = 2
const CLIENT_HELLO = 1

it.live("resets what is no TLS, at the first byte that tells", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], proxy: { max_hello_bytes: 256 } })
    const notTls = [
      Buffer.from("G"),
      Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"),
      Buffer.from("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
      // Longer than max_hello_bytes, and not told so.
      Buffer.alloc(1000, "x"),
      record(23, Buffer.from("early")),
      record(TLS, new Uint8Array(0)),
      Uint8Array.of(TLS, 2),
      record(TLS, Uint8Array.of(SERVER_HELLO)),
      // Whole, and its session id runs over its end.
      record(TLS, concat(Uint8Array.of(CLIENT_HELLO, 0, 0, 35, 3, 3), new Uint8Array(32), Uint8Array.of(32)))
    ]
    for (const bytes of notTls) {
      const client = yield* connect(proxy.address)
      yield* client.send(bytes)
      yield* assertRefused(proxy, client, { outcome: "not_tls" })
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), notTls.length)
  })
)

it.live("takes a hello of max_hello_bytes, and resets a longer one as soon as its length is declared", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], proxy: { max_hello_bytes: 1000 } })
    const fits = yield* connect(proxy.address)
    yield* fits.send(paddedHello("a.test", 1000))
    yield* assertRefused(proxy, fits, { hostname: "a.test", outcome: "no_route" })
    for (const sent of [1001, 9]) {
      const client = yield* connect(proxy.address)
      yield* client.send(paddedHello("a.test", 1001).subarray(0, sent))
      yield* assertRefused(proxy, client, { outcome: "hello_too_large" })
    }
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["no_route", "hello_too_large", "hello_too_large"])
  })
)

it.live("resets a client that has not sent its hello, or its PROXY header and its hello, in time", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{}, { addr: "127.0.0.2:0", proxy_protocol: true }],
      proxy: { hello_timeout: "1s" }
    })
    const behind = { listener: "127.0.0.2:0" }
    const header = "PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r\n"
    const cases = [
      ["127.0.0.1:0", "", {}],
      ["127.0.0.1:0", hello("a.test").subarray(0, -1), {}],
      ["127.0.0.2:0", "", behind],
      ["127.0.0.2:0", header.slice(0, -1), behind],
      ["127.0.0.2:0", header, { ...behind, client: "198.51.100.7:5000" }]
    ] as const
    const clients = yield* Effect.forEach(cases, ([listener, bytes]) =>
      Effect.tap(connect(proxy.addressOf(listener)), (client) => client.send(bytes))
    )
    for (const [i, client] of clients.entries()) {
      yield* assertRefused(proxy, client, { ...cases[i]![2], outcome: "hello_timeout" })
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), cases.length)
  })
)

it.live("resets a client that has finished before its PROXY header or its hello is whole", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}, { addr: "127.0.0.2:0", proxy_protocol: true }] })
    for (const [listener, bytes] of [
      ["127.0.0.1:0", ""],
      ["127.0.0.1:0", hello("a.test").subarray(0, -1)],
      ["127.0.0.2:0", "PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r"]
    ] as const) {
      const client = yield* connect(proxy.addressOf(listener))
      yield* client.send(bytes)
      client.finish()
      yield* assertRefused(proxy, client, { listener, outcome: "client_closed" })
    }
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["client_closed", "client_closed", "client_closed"])
  })
)

it.live("notes a client that has reset before its hello is whole", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}] })
    for (const bytes of ["", hello("a.test").subarray(0, -1)]) {
      const client = yield* connect(proxy.address)
      yield* client.send(bytes)
      client.reset()
      // Gone so early, it may have no address any more.
      assert.strictEqual((yield* proxy.access()).outcome, "reset")
    }
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["reset", "reset"])
  })
)

it.live("resets a hello whose name is missing, an address, invalid or repeated", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}] })
    const nameless = [
      captured("openssl-no-sni.bin"),
      captured("node26-no-extensions.bin"),
      captured("openssl-ip-literal.bin"),
      hello("2001:db8::1"),
      hello(""),
      hello("a..test"),
      hello("*.test"),
      hello("a test"),
      hello("a.test\r\noutcome=done"),
      hello("ä.test"),
      hello(`${"a".repeat(64)}.test`),
      inRecords(clientHello({ extensions: [serverName("a.test", "b.test")] }), [16384]),
      inRecords(clientHello({ extensions: [serverName("a.test"), serverName("a.test")] }), [16384])
    ]
    for (const bytes of nameless) {
      const client = yield* connect(proxy.address)
      yield* client.send(bytes)
      const { outcome } = yield* Effect.andThen(client.ended, proxy.accessOf(client))
      assert.strictEqual(`${outcome} ${client.ending} ${client.length}`, "no_sni reset 0")
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), nameless.length)
    assert.notInclude(proxy.program.stderr, "outcome=done")
  })
)

it.live("resets a name that only another listener has a route for", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{}, { addr: "127.0.0.2:0", routes }] })
    const client = yield* connect(proxy.address)
    yield* client.send(hello("A.Test."))
    yield* assertRefused(proxy, client, { hostname: "a.test", outcome: "no_route" })
    assert.lengthOf(backend.accepted, 0)
  })
)

it.live("passes every recorded hello on unchanged, sent whole, a byte at a time, or in other records", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = ["client.example.net", "localhost"].map((hostname) => ({ hostname, backend: backend.address }))
    const proxy = yield* startProxy({ listeners: [{ routes }] })
    const files = readdirSync(new URL("../tls/hellos", import.meta.url)).filter(
      (file) => file.endsWith(".bin") && !/no-sni|no-extensions|ip-literal/.test(file)
    )
    assert.isAbove(files.length, 8)
    const hellos = [
      ...files.map(captured),
      hello("client.example.net", 1),
      hello("client.example.net", 7),
      paddedHello("client.example.net", 60_000)
    ]
    for (const bytes of hellos) {
      const whole = yield* connect(proxy.address)
      yield* whole.send(bytes)
      const bytewise = yield* connect(proxy.address)
      yield* bytewise.sendBytewise(bytes.subarray(0, 3000))
      yield* bytewise.send(bytes.subarray(3000))
      for (const client of [whole, bytewise]) {
        const inner = yield* backend.next
        client.finish()
        inner.finish()
        assert.strictEqual(yield* inner.ended, "fin")
        assert.isTrue(inner.bytes.equals(bytes))
        const { outcome, from_client, from_backend } = yield* proxy.accessOf(client)
        assert.deepStrictEqual(
          { outcome, from_client, from_backend },
          { outcome: "done", from_client: bytes.length, from_backend: 0 }
        )
      }
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), 2 * hellos.length)
  })
)

it.live("passes on the largest hello there can be, in as few records as hold it and in records of four bytes", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { max_hello_bytes: 1024 * 1024 } })
    const largest = clientHello({
      cipherSuites: new Uint8Array(65534).fill(0x13),
      extensions: [[21, new Uint8Array(65000)], serverName("a.test")]
    })
    for (const recordBytes of [16384, 4]) {
      const bytes = inRecords(largest, [recordBytes])
      const client = yield* connect(proxy.address)
      yield* client.send(bytes)
      const inner = yield* backend.next
      client.finish()
      inner.finish()
      assert.strictEqual(yield* inner.ended, "fin")
      assert.isTrue(inner.bytes.equals(bytes))
      assert.include(yield* proxy.accessOf(client), { outcome: "done", from_client: bytes.length })
    }
  })
)
