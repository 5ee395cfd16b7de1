import { Effect } from "effect"
import { ConnectionReset, PeekTimeout, PeerEnded, type Connection, type PeekError } from "../../src/net/Connection.ts"
import type { SocketAddress } from "../../src/net/SocketAddress.ts"
import type { FakeNetwork } from "./FakeNetwork.ts"

/** The proxy's end of a connection, and in `send`, `finish` and `fail` the test's hold on the other. */
export class FakeConnection implements Connection {
  readonly peer: SocketAddress | undefined
  readonly local: SocketAddress
  bytesRead = 0
  bytesWritten = 0
  /** What the proxy has written by itself, a chunk a write. */
  readonly written: Array<Uint8Array> = []
  /** How often the proxy has asked for bytes. */
  peeks = 0
  /** What the proxy has made of it. */
  end: "open" | "reset" | "closed" = "open"
  /** What a write waits for, and ends as. */
  accepting: Effect.Effect<void, ConnectionReset> = Effect.void
  /** Bytes of the other end's that the proxy has not consumed. */
  unread: Uint8Array = new Uint8Array(0)
  readonly endWrite = Effect.die("Nobody but a relay sends a FIN.")
  readonly #wait: FakeNetwork["wait"]
  #ended: PeekError | undefined
  #wake: (() => void) | undefined
  #resetListener: (() => void) | undefined

  constructor({ wait }: Pick<FakeNetwork, "wait">, peer: SocketAddress | undefined, local: SocketAddress) {
    this.#wait = wait
    this.peer = peer
    this.local = local
  }

  send(bytes: Uint8Array): void {
    this.unread = Buffer.concat([this.unread, bytes])
    this.bytesRead += bytes.length
    this.#wake?.()
  }

  /** FIN. */
  finish(): void {
    this.#ended ??= PeerEnded
    this.#wake?.()
  }

  /** RST. */
  fail(): void {
    this.#ended = ConnectionReset
    this.#wake?.()
    this.onReset(this.#resetListener)
  }

  peek(seen: number, deadline: number): Effect.Effect<Uint8Array, PeekError> {
    this.peeks++
    return this.#wait<Uint8Array, PeekError>(deadline, PeekTimeout, (resume) => {
      this.#wake = () => {
        if (this.end === "open" && this.unread.length > seen) resume(Effect.succeed(this.unread))
        else if (this.end !== "open") resume(Effect.fail(ConnectionReset))
        else if (this.#ended !== undefined) resume(Effect.fail(this.#ended))
      }
      this.#wake()
    })
  }

  consume(count: number): void {
    this.unread = this.unread.subarray(count)
  }

  write(bytes: Uint8Array): Effect.Effect<void, ConnectionReset> {
    return Effect.map(this.accepting, () => {
      this.written.push(bytes)
      this.bytesWritten += bytes.length
    })
  }

  reset(): void {
    this.#resetListener = undefined
    if (this.end === "open") this.end = "reset"
    this.#wake?.()
  }

  onReset(listener: (() => void) | undefined): void {
    this.#resetListener = this.#ended === ConnectionReset ? undefined : listener
    if (this.#ended === ConnectionReset) listener?.()
  }
}
