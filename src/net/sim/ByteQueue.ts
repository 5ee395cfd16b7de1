/**
 * Bytes that wait, in order. What `view` has shown is never overwritten, so that it stays valid whatever follows.
 */
export class ByteQueue {
  #bytes: Uint8Array = EMPTY
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  /** All of them. */
  view(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  /** Copies `bytes` behind the others. Room doubles, so that bytes coming one at a time cost linear time. */
  append(bytes: Uint8Array): void {
    const end = this.#end + bytes.length
    if (end > this.#bytes.length) {
      const { length } = this
      const grown = new Uint8Array(Math.max(2 * (length + bytes.length), ROOM_MIN))
      grown.set(this.view())
      this.#bytes = grown
      this.#start = 0
      this.#end = length
    }
    this.#bytes.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** Takes out the first `count`, or as many as there are. */
  take(count: number): Uint8Array {
    const taken = this.view().subarray(0, count)
    this.#start += taken.length
    return taken
  }

  clear(): void {
    this.#bytes = EMPTY
    this.#start = this.#end = 0
  }
}

const EMPTY = new Uint8Array(0)
const ROOM_MIN = 256
