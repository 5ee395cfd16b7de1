/**
 * A simulated connection as a stream of Node's.
 *
 * It reads ahead as far as streams do, and then no further, so that the other side is slowed. Node's streams call back
 * on the machine's own queue, outside of the simulated time.
 */
import { Duplex } from "node:stream"
import type { SimConnection } from "./SimConnection.ts"
import type { SocketUser } from "./SimSocket.ts"

export class SimDuplex extends Duplex implements SocketUser {
  readonly #connection: SimConnection
  #wanted = false
  #ended = false

  constructor(connection: SimConnection) {
    super({ allowHalfOpen: true })
    this.#connection = connection
    // One that stays, as on a socket of Node's that a connection has.
    this.on("error", () => {})
    connection.handTo(this)
    if (connection.failed) this.lost()
  }

  override _read(): void {
    this.#wanted = true
    this.received()
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error) => void): void {
    this.#connection.send(chunk, (accepted) => (accepted ? callback() : callback(connectionReset())))
  }

  override _final(callback: () => void): void {
    this.#connection.finish()
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#connection.takeBack()
    // Nothing where both ways have finished.
    this.#connection.reset()
    callback(error)
  }

  received(): void {
    while (this.#wanted && this.#connection.unread > 0) this.#wanted = this.push(this.#connection.take())
    if (this.#ended || !this.#wanted || !this.#connection.ended) return
    this.#ended = true
    this.push(null)
  }

  /** A write waits in the connection. */
  acknowledged(): void {}

  released(): void {
    this.destroy()
  }

  lost(): void {
    this.destroy(connectionReset())
  }
}

const connectionReset = (): Error => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
