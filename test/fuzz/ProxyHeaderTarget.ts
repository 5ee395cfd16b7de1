/**
 * A PROXY header is read alike in any split and within its bytes; the stage that reads it takes it out, neither more nor
 * less; and what it names is written and read again the same.
 */
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import { Effect, Exit, HashMap, Result } from "effect"
import { PrefixTrie } from "../../src/firewall/PrefixTrie.ts"
import { type Connection, PeerEnded, type PeekError } from "../../src/net/Connection.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { ListenerCounters } from "../../src/observe/Counters.ts"
import { identify } from "../../src/pipeline/Identify.ts"
import type { ListenerState } from "../../src/pipeline/ProxyState.ts"
import { readProxyHeader } from "../../src/proxyproto/ProxyHeader.ts"
import { writeProxyHeader } from "../../src/proxyproto/ProxyHeaderV2.ts"
import type { ProxyHeader, ProxyRead } from "../../src/proxyproto/ProxyRead.ts"
import { readWithinBounds } from "./GuardedBytes.ts"
import type { Target } from "./Target.ts"

/** The verdict of the first prefix that has one, which is a header's when that is whole. */
const readByteByByte = (bytes: Uint8Array): ProxyRead => {
  for (let shown = 0; shown <= bytes.length; shown++) {
    const read = readProxyHeader(bytes.subarray(0, shown))
    if (read._tag === "Header") strictEqual(shown, read.length)
    if (read._tag !== "NeedMore") return read
  }
  return { _tag: "NeedMore" }
}

/** A client whose bytes come in pieces of some size, and who then finishes. */
class Sender implements Connection {
  readonly peer = { ip: parseIpAddress("192.0.2.1")!, port: 40_000 }
  readonly local = { ip: parseIpAddress("192.0.2.2")!, port: 443 }
  readonly bytesRead = 0
  readonly bytesWritten = 0
  readonly endWrite = Effect.void
  readonly #piece: number
  unread: Uint8Array

  constructor(bytes: Uint8Array, piece: number) {
    this.unread = bytes
    this.#piece = piece
  }

  peek(seen: number): Effect.Effect<Uint8Array, PeekError> {
    return seen < this.unread.length
      ? Effect.succeed(this.unread.subarray(0, seen + this.#piece))
      : Effect.fail(PeerEnded)
  }

  consume(count: number): void {
    this.unread = this.unread.subarray(count)
  }

  write(): Effect.Effect<void> {
    return Effect.void
  }

  reset(): void {}

  onReset(): void {}
}

const LISTENER: ListenerState = {
  listener: { addr: ":443", proxyProtocol: true, trustedProxies: [], maxConnections: 0 },
  trusted: PrefixTrie.empty,
  routes: HashMap.empty(),
  counters: new ListenerCounters()
}

/** The stage takes what the parser says, and leaves what is behind it. */
const checkStage = (bytes: Uint8Array, read: ProxyRead): void => {
  for (const piece of [1, 16, bytes.length + 1]) {
    const sender = new Sender(bytes, piece)
    const exit = Effect.runSyncExit(Effect.result(identify(sender, LISTENER, Infinity)))
    const { client, destination } = read._tag === "Header" ? read : { client: undefined, destination: undefined }
    const expected =
      read._tag === "Header"
        ? Result.succeed({ client: client ?? sender.peer, destination, probe: false })
        : Result.fail(
            read._tag === "Invalid" ? { _tag: "proxy_header", reason: read.reason } : { _tag: "client_closed" }
          )
    deepStrictEqual(exit, Exit.succeed(expected))
    strictEqual(sender.unread.length, bytes.length - (read._tag === "Header" ? read.length : 0))
  }
}

const checkWritten = ({ client, destination }: ProxyHeader): void => {
  if (client === undefined || destination === undefined) return
  const written = writeProxyHeader({ client, destination, authority: "a.test", uniqueId: "1" })
  deepStrictEqual(readProxyHeader(written), {
    _tag: "Header",
    length: written.length,
    client,
    destination,
    local: false
  })
}

const check = (bytes: Uint8Array): string => {
  const read = readWithinBounds(bytes, readProxyHeader)
  deepStrictEqual(readWithinBounds(bytes, readByteByByte), read)
  checkStage(bytes, read)
  if (read._tag === "Invalid") return read.reason
  if (read._tag === "NeedMore") return read._tag
  checkWritten(read)
  return `${bytes[0] === 0x50 ? "v1" : "v2"} ${read.client?.ip.family} ${read.local}`
}

export const proxyHeaderTarget: Target = {
  name: "proxy-header",
  bytesMax: 400,
  dictionary: [
    "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    "PROXY TCP6 ",
    "2001:db8::1",
    "::ffff:192.0.2.1",
    "PROXY UNKNOWN",
    "\r\n",
    " ",
    "65535",
    "\r\n\r\n\x00\r\nQUIT\n",
    "\x21\x11\x00\x0c",
    "\x21\x21\x00\x24",
    "\x20\x00\x00\x00",
    "\x03\x00\x04",
    "\x04\x00\x00",
    "\x02\x00\x06a.test"
  ],
  check
}
