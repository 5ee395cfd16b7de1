/**
 * The memory that a dialled socket reads into: one buffer for all its reads, unless what was read is still needed.
 *
 * Node otherwise allocates 64 KiB for every read, and in bulk the collector then costs more than the copying. It offers
 * this for sockets that connect, not for those that a server accepts. A connection starts with little, since most have
 * little to say, gets much with a read that fills it, and gives it back with one that would have fitted into little.
 */
import type { OnReadOpts } from "node:net"

/** Small buffers whose connections have ended; to make one costs as much as five system calls. */
const spare: Array<Buffer> = []

/** 1 MiB, and more connections than begin before as many end. */
const SPARE_MAX = 256

export class ReadBuffer {
  /** What Node is given: where to read into next, and whom to tell. */
  readonly options: OnReadOpts = {
    buffer: () => this.#next(),
    callback: (length, bytes) => {
      this.#length = length
      return this.#receive(Buffer.from(bytes.buffer, bytes.byteOffset, length))
    }
  }
  #buffer: Buffer = spare.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES)
  #receive: (chunk: Buffer) => boolean = ignore
  /** Of the last read. */
  #length = 0
  #kept = false

  /** Who gets the chunks, each valid until the call returns unless it is kept; false stops the reading. */
  onChunk(receive: (chunk: Buffer) => boolean): void {
    this.#receive = receive
  }

  /** The chunk received last stays in use: the next read goes elsewhere. */
  keep(): void {
    this.#kept = true
  }

  /** The socket is closed: nothing will be read any more. */
  release(): void {
    if (!this.#kept && this.#buffer.length === SMALL_BYTES && spare.length < SPARE_MAX) spare.push(this.#buffer)
    this.#kept = true
    this.#receive = ignore
  }

  #next(): Buffer {
    const bytes =
      this.#length === this.#buffer.length ? LARGE_BYTES : this.#length < SMALL_BYTES ? SMALL_BYTES : undefined
    const length = bytes ?? this.#buffer.length
    if (this.#kept || length !== this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(length)
    this.#kept = false
    return this.#buffer
  }
}

const ignore = (): boolean => true

/** A whole small answer, or a TLS server's flight without its certificates. */
const SMALL_BYTES = 4 * 1024

/** As much as Node reads at once by itself; measured, more does not pay. */
const LARGE_BYTES = 64 * 1024
