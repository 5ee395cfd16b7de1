import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { tlv, tlvsOf, v2 } from "../proxyproto/ProxyHeaders.ts"
import { startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { assertRefused, outcomesAtEnd } from "./harness/Refusal.ts"
import { connect, type Wire } from "./harness/Wire.ts"

const LOCAL = 0x20
const PROXY = 0x21
const TCP4 = 0x11
const TCP6 = 0x21
const AUTHORITY = 2
const UNIQUE_ID = 5
const NOOP = 4

const HELLO = hello("a.test")

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex")

/** 198.51.100.7:5000 to 192.0.2.1:443. */
const V4_ADDRESSES = bytesOf("c6336407 c0000201 1388 01bb")
const V4_HEADER = v2(PROXY, TCP4, V4_ADDRESSES)

/** The header at the start of what a backend has received, taken apart by hand. */
const readSentHeader = Effect.fnUntraced(function* (backend: Wire) {
  const length = 16 + (yield* backend.received(16)).readUInt16BE(14)
  const header = (yield* backend.received(length)).subarray(0, length)
  const addressesEnd = header[13] === TCP4 ? 28 : 52
  const tlvs = new Map(tlvsOf(header, addressesEnd))
  const textOf = (type: number) => Buffer.from(tlvs.get(type) ?? []).toString("latin1")
  return {
    length,
    prefix: header.subarray(0, 14).toString("hex"),
    addresses: header.subarray(16, addressesEnd).toString("hex"),
    authority: textOf(AUTHORITY),
    uniqueId: textOf(UNIQUE_ID)
  }
})

/** The addresses of a header by hand: both addresses, then both ports. */
const addressesHex = (client: string, destination: string, clientPort: number, destinationPort: number): string =>
  client + destination + clientPort.toString(16).padStart(4, "0") + destinationPort.toString(16).padStart(4, "0")

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1))

const V2_PREFIX = "0d0a0d0a000d0a515549540a21"
const LOOPBACK6 = "00000000000000000000000000000001"

it.live("resets a peer that is no trusted proxy before it has sent a byte", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true, trusted_proxies: ["127.0.0.2", "127.0.4.0/24"] }]
    })
    yield* assertRefused(proxy, yield* connect(proxy.address), { outcome: "untrusted_proxy" })
    for (const from of ["127.0.0.2", "127.0.4.9"]) {
      const trusted = yield* connect(proxy.address, { from })
      yield* trusted.send(V4_HEADER)
      yield* trusted.send(HELLO)
      const client = "198.51.100.7:5000"
      yield* assertRefused(proxy, trusted, { client, hostname: "a.test", outcome: "no_route" })
    }
    assert.deepStrictEqual(yield* outcomesAtEnd(proxy), ["untrusted_proxy", "no_route", "no_route"])
  })
)

it.live("resets a missing or malformed PROXY header", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{ proxy_protocol: true }] })
    const malformed = [
      HELLO,
      Buffer.from("GET / HTTP/1.1\r\n"),
      Buffer.from("PROXY TCP4 198.51.100.7 192.0.2.1 05000 443\r\n"),
      Buffer.from("PROXY TCP4 2001:db8::7 192.0.2.1 5000 443\r\n"),
      Buffer.from("PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\n"),
      Buffer.from(`PROXY UNKNOWN ${"x".repeat(107)}\r\n`),
      v2(0x31, TCP4, V4_ADDRESSES),
      v2(PROXY, TCP6, V4_ADDRESSES),
      v2(PROXY, TCP4, V4_ADDRESSES, Uint8Array.of(NOOP, 0, 9, 1)),
      // A CRC32C that is not the header's.
      v2(PROXY, TCP4, V4_ADDRESSES, tlv(3, Uint8Array.of(1, 2, 3, 4))),
      // 16 KiB and a byte; refused by its declared length.
      v2(PROXY, TCP4, new Uint8Array(16 * 1024 - 15)).subarray(0, 16)
    ]
    for (const bytes of malformed) {
      const client = yield* connect(proxy.address)
      yield* client.send(bytes)
      yield* assertRefused(proxy, client, { outcome: "proxy_header" })
    }
    assert.lengthOf(yield* outcomesAtEnd(proxy), malformed.length)
  })
)

it.live("takes the client from a header of either version in any split, and the rest as the client's bytes", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{ proxy_protocol: true, routes }] })
    const cases = [
      [Buffer.from("PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r\n"), "198.51.100.7:5000"],
      [Buffer.from("PROXY TCP6 2001:DB8:0::7 2001:db8::1 5000 443\r\n"), "[2001:db8::7]:5000"],
      [Buffer.from("PROXY TCP6 ::ffff:198.51.100.7 2001:db8::1 5000 443\r\n"), "198.51.100.7:5000"],
      [V4_HEADER, "198.51.100.7:5000"],
      [v2(PROXY, TCP4, V4_ADDRESSES, tlv(NOOP, new Uint8Array(1000)), tlv(0xe4, HELLO)), "198.51.100.7:5000"]
    ] as const
    for (const [header, expected] of cases) {
      const bytes = Buffer.concat([header, HELLO, Buffer.from("request")])
      const whole = yield* connect(proxy.address)
      yield* whole.send(bytes)
      const bytewise = yield* connect(proxy.address)
      yield* bytewise.sendBytewise(bytes)
      for (const sender of [whole, bytewise]) {
        const inner = yield* backend.next
        sender.finish()
        inner.finish()
        assert.strictEqual(yield* inner.ended, "fin")
        assert.strictEqual(inner.bytes.toString("latin1"), bytes.subarray(header.length).toString("latin1"))
        const { client, peer, outcome, from_client } = yield* proxy.accessOf(sender)
        assert.deepStrictEqual(
          { client, peer, outcome, from_client },
          { client: expected, peer: sender.local, outcome: "done", from_client: HELLO.length + 7 }
        )
      }
    }
  })
)

it.live("blocks by the header's client, behind the header and before the hello", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true }],
      firewall: { blocked_ips: ["198.51.100.7"], blocked_cidrs: ["2001:db8:1::/48"] }
    })
    const cases = [
      ["PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r\n", "198.51.100.7:5000", "blocked_ip", "ip 198.51.100.7"],
      ["PROXY TCP6 ::ffff:c633:6407 ::1 5000 443\r\n", "198.51.100.7:5000", "blocked_ip", "ip 198.51.100.7"],
      ["PROXY TCP6 2001:db8:1::9 ::1 5000 443\r\n", "[2001:db8:1::9]:5000", "blocked_cidr", "cidr 2001:db8:1::/48"]
    ] as const
    for (const [header, client, outcome, rule] of cases) {
      const sender = yield* connect(proxy.address)
      yield* sender.send(header)
      yield* assertRefused(proxy, sender, { client, outcome, rule })
    }
  })
)

it.live("limits the rate of an IPv6 client by its /64, and lets a trusted balancer's probes spend nothing", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true, trusted_proxies: ["127.0.0.1"] }],
      firewall: { rate_limit: 1, rate_window: "1h" }
    })
    const probes = [v2(LOCAL, 0), v2(LOCAL, TCP4, V4_ADDRESSES), Buffer.from("PROXY UNKNOWN\r\n")]
    for (const header of [...probes, ...probes]) {
      const probe = yield* connect(proxy.address)
      yield* probe.send(header)
      yield* probe.send(HELLO)
      // Its own address stands for it.
      yield* assertRefused(proxy, probe, { hostname: "a.test", outcome: "no_route" })
    }
    const cases = [
      ["2001:db8::1", { hostname: "a.test", outcome: "no_route" }],
      ["2001:db8::ffff:0:0:2", { outcome: "rate_limited" }],
      ["2001:db8:0:1::1", { hostname: "a.test", outcome: "no_route" }]
    ] as const
    for (const [ip, told] of cases) {
      const sender = yield* connect(proxy.address)
      yield* sender.send(`PROXY TCP6 ${ip} ::1 5000 443\r\n`)
      yield* sender.send(HELLO)
      yield* assertRefused(proxy, sender, { client: `[${ip}]:5000`, ...told })
    }
  })
)

it.live("counts a probe from a peer that no list of proxies names as any other client", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({
      listeners: [{ proxy_protocol: true }],
      firewall: { rate_limit: 1, rate_window: "1h" }
    })
    for (const told of [{ hostname: "a.test", outcome: "no_route" }, { outcome: "rate_limited" }]) {
      const probe = yield* connect(proxy.address)
      yield* probe.send(v2(LOCAL, 0))
      yield* probe.send(HELLO)
      yield* assertRefused(proxy, probe, told)
    }
  })
)

it.live("tells a backend the client, the listener, the name and the connection's id", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address, send_proxy_protocol: true }]
    const proxy = yield* startProxy({ listeners: [{ addr: ":0", routes }] })
    const port = portOf(proxy.address)
    const cases = [
      [`127.0.0.1:${port}`, "127.0.0.8", "7f000008", "7f000001", "11"],
      [`[::1]:${port}`, "::1", LOOPBACK6, LOOPBACK6, "21"]
    ] as const
    for (const [address, from, clientHex, destinationHex, family] of cases) {
      const client = yield* connect(address, { from })
      yield* client.send(HELLO)
      const inner = yield* backend.next
      const { length, uniqueId, ...header } = yield* readSentHeader(inner)
      assert.deepStrictEqual(header, {
        prefix: V2_PREFIX + family,
        addresses: addressesHex(clientHex, destinationHex, portOf(client.local), port),
        authority: "a.test"
      })
      client.finish()
      inner.finish()
      assert.strictEqual(yield* inner.ended, "fin")
      assert.isTrue(inner.bytes.subarray(length).equals(HELLO))
      const line = yield* proxy.accessOf(client)
      assert.include(line, { id: uniqueId, outcome: "done", from_client: HELLO.length })
    }
  })
)

it.live("keeps the client's address over three proxies in a row, IPv4 and IPv6 between them", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const hop = (addr: string, behind: { readonly address: string }, incoming: { readonly proxy_protocol?: true }) => {
      const routes = [{ hostname: "a.test", backend: behind.address, send_proxy_protocol: true }]
      return startProxy({ listeners: [{ addr, routes, ...incoming }] })
    }
    const trusting = { proxy_protocol: true, trusted_proxies: ["127.0.0.0/8", "::1"] } as const
    const third = yield* hop("127.0.0.1:0", backend, trusting)
    const second = yield* hop("[::1]:0", third, trusting)
    const first = yield* hop("127.0.0.5:0", second, {})

    const client = yield* connect(first.address, { from: "127.0.0.77" })
    yield* client.send(HELLO)
    const inner = yield* backend.next
    const header = yield* readSentHeader(inner)
    yield* inner.send("answer")
    assert.strictEqual((yield* client.received(6)).toString(), "answer")
    client.finish()
    inner.finish()
    assert.strictEqual(yield* client.ended, "fin")
    assert.strictEqual(yield* inner.ended, "fin")
    assert.isTrue(inner.bytes.subarray(header.length).equals(HELLO))

    const lines = yield* Effect.forEach([first, second, third], (proxy) => proxy.access())
    for (const line of lines) {
      assert.include(line, { client: client.local, hostname: "a.test", outcome: "done", from_client: HELLO.length })
    }
    const peers = lines.map(({ peer }) => peer.slice(0, peer.lastIndexOf(":")))
    assert.deepStrictEqual(peers, ["127.0.0.77", "[::1]", "127.0.0.1"])
    assert.deepStrictEqual(header, {
      length: header.length,
      prefix: `${V2_PREFIX}11`,
      addresses: addressesHex("7f00004d", "7f000005", portOf(client.local), portOf(first.address)),
      authority: "a.test",
      uniqueId: lines[2]!.id
    })
  })
)

it.live("writes an IPv4 client beside an IPv6 destination as IPv4-mapped", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address, send_proxy_protocol: true }]
    const proxy = yield* startProxy({ listeners: [{ proxy_protocol: true, routes }] })
    const client = yield* connect(proxy.address)
    yield* client.send("PROXY TCP6 ::ffff:198.51.100.7 2001:db8::1 5000 443\r\n")
    yield* client.send(HELLO)
    const { prefix, addresses } = yield* readSentHeader(yield* backend.next)
    const mapped = "00000000000000000000ffffc6336407"
    assert.strictEqual(prefix, `${V2_PREFIX}21`)
    assert.strictEqual(addresses, addressesHex(mapped, "20010db8000000000000000000000001", 5000, 443))
  })
)
