/** Makes inputs of others, by a seed: bits turned, bytes changed, pieces taken out, put in, repeated, joined. */

/** A number from 0 and below the one given. */
export type Draw = (below: number) => number

/** The same numbers for the same seed (mulberry32). */
export const drawFrom = (seed: number): Draw => {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) % below
  }
}

export class Mutator {
  readonly #draw: Draw
  readonly #dictionary: ReadonlyArray<Uint8Array>
  readonly #bytesMax: number

  constructor(draw: Draw, dictionary: ReadonlyArray<string>, bytesMax: number) {
    this.#draw = draw
    this.#dictionary = dictionary.map((word) => Buffer.from(word, "latin1"))
    this.#bytesMax = bytesMax
  }

  /** One of `inputs`, changed a few times. */
  mutate(inputs: ReadonlyArray<Uint8Array>): Uint8Array {
    let bytes: Uint8Array = Uint8Array.from(this.#pick(inputs))
    for (let left = 1 + this.#draw(EDITS_MAX); left > 0; left--) bytes = this.#edit(bytes, inputs)
    return bytes.subarray(0, this.#bytesMax)
  }

  #edit(bytes: Uint8Array, inputs: ReadonlyArray<Uint8Array>): Uint8Array {
    const at = this.#draw(bytes.length + 1)
    const end = at + this.#draw(Math.min(bytes.length - at, PIECE_BYTES_MAX) + 1)
    switch (this.#draw(9)) {
      case 0:
        return replaced(bytes, at, at + 1, Uint8Array.of(bytes[at]! ^ (1 << this.#draw(8))))
      case 1:
        return replaced(bytes, at, at + 1, Uint8Array.of(this.#draw(256)))
      // Lengths are wrong by a little more often than by much.
      case 2:
        return replaced(bytes, at, at + 1, Uint8Array.of(bytes[at]! + this.#draw(9) - 4))
      case 3:
        return replaced(bytes, at, end, NOTHING)
      case 4:
        return replaced(bytes, at, at, bytes.subarray(at, end))
      case 5:
        return replaced(bytes, at, at, this.#pick(this.#dictionary))
      case 6: {
        const word = this.#pick(this.#dictionary)
        return replaced(bytes, at, at + word.length, word)
      }
      case 7:
        return replaced(bytes, at, bytes.length, this.#tailOf(this.#pick(inputs)))
      default:
        return replaced(bytes, at, end, this.#tailOf(this.#pick(inputs)).subarray(0, end - at))
    }
  }

  #tailOf(bytes: Uint8Array): Uint8Array {
    return bytes.subarray(this.#draw(bytes.length + 1))
  }

  #pick(from: ReadonlyArray<Uint8Array>): Uint8Array {
    return from[this.#draw(from.length)] ?? NOTHING
  }
}

/** `bytes` with `piece` in the place of what is from `start` to `end`. */
export const replaced = (bytes: Uint8Array, start: number, end: number, piece: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, start), ...piece, ...bytes.subarray(end)])

const NOTHING = new Uint8Array(0)
const EDITS_MAX = 5
const PIECE_BYTES_MAX = 40
