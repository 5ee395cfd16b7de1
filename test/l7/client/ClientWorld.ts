/**
 * A client's connection without a network: the proxy's side of HTTP on one end of a pair of streams, and on the other
 * whatever the test sends. Deadlines are on the test's clock, so that none passes by itself.
 */
import { assert } from "@effect/vitest"
import { Clock, Effect, type Scope } from "effect"
import { duplexPair, type Duplex } from "node:stream"
import { serveClient, type ClientConnection } from "../../../src/l7/client/ClientConnection.ts"
import { Http1Client } from "../../../src/l7/client/Http1Client.ts"
import { Http2Client } from "../../../src/l7/client/Http2Client.ts"
import { VirtualHost } from "../../../src/l7/VirtualHost.ts"
import { ConnectionReset, type Connection } from "../../../src/net/Connection.ts"
import { parseIpAddress } from "../../../src/net/IpAddress.ts"
import type { RequestEntry } from "../../../src/observe/AccessLog.ts"
import { RequestCounters } from "../../../src/observe/RequestCounters.ts"
import type { L7Policy } from "../../../src/snapshot/Snapshot.ts"
import type { FakePool } from "../FakeExchange.ts"
import { SERVER } from "../Requests.ts"

export const TIMEOUTS = {
  headerTimeoutMs: 1000,
  responseTimeoutMs: 5000,
  idleTimeoutMs: 60_000,
  halfCloseTimeoutMs: 2000
}

export interface ClientWorld {
  /** The client's end. */
  readonly client: Duplex
  readonly connection: ClientConnection
  readonly socket: FakeSocket
  readonly host: VirtualHost
  readonly lines: ReadonlyArray<RequestEntry>
}

export const openWorld = Effect.fnUntraced(function* (
  version: "http/1.1" | "h2",
  pool: FakePool,
  policies: ReadonlyArray<L7Policy> = []
): Effect.fn.Return<ClientWorld, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const [duplex, client] = duplexPair()
  client.on("error", () => {})
  const lines: Array<RequestEntry> = []
  const host = new VirtualHost(policies, new RequestCounters())
  const grounds = {
    host,
    pool,
    client: parseIpAddress("192.0.2.7")!,
    access: { enabled: true, connection: () => {}, request: (entry: RequestEntry) => void lines.push(entry) },
    trace: undefined,
    told: { id: "1", listener: ":443", client: "192.0.2.7:1", hostname: SERVER },
    now: () => clock.currentTimeMillisUnsafe(),
    wallClock: () => clock.currentTimeMillisUnsafe()
  }
  const socket = new FakeSocket(duplex)
  const connection = yield* serveClient({ duplex, socket }, grounds, TIMEOUTS, (opened) =>
    version === "h2" ? new Http2Client(opened, pool, SERVER) : new Http1Client(opened, SERVER)
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => client.destroy()))
  return { client, connection, socket, host, lines }
})

/** What carries the stream: it counts what goes through, and resets. */
class FakeSocket implements Connection {
  readonly peer = undefined
  readonly local = undefined
  bytesRead = 0
  bytesWritten = 0
  isReset = false
  readonly #duplex: Duplex

  constructor(duplex: Duplex) {
    this.#duplex = duplex
    const push = duplex.push.bind(duplex)
    duplex.push = (chunk: Uint8Array | null, encoding?: BufferEncoding) => {
      this.bytesRead += chunk?.length ?? 0
      return push(chunk, encoding)
    }
    const write = duplex._write.bind(duplex)
    duplex._write = (chunk: Uint8Array, encoding, callback) => {
      this.bytesWritten += chunk.length
      write(chunk, encoding, callback)
    }
  }

  readonly endWrite = Effect.void
  peek = () => Effect.fail(ConnectionReset)
  consume(): void {}
  write = () => Effect.void
  reset(): void {
    this.isReset = true
    this.#duplex.destroy()
  }
  onReset(): void {}
}

/** What has come on a stream so far, as text. */
export class Received {
  text = ""
  ended = false

  constructor(stream: Duplex) {
    stream.setEncoding("latin1")
    stream.on("data", (chunk: string) => (this.text += chunk)).on("end", () => (this.ended = true))
    stream.on("close", () => (this.ended = true))
  }
}

/** Turns of the event loop in which something has to have come; a few are enough for anything here. */
const TURNS_MAX = 1000

/** Lets Node's streams go on until `holds`. */
export const until = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      if (holds()) return
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.fail(`never: ${what}`)
  })

/** Lets Node's streams go on until nothing more can be expected of them. */
export const settle: Effect.Effect<void> = Effect.promise(async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
})
