/**
 * Checks encoded values of a MaxMind DB (format 2.0, "Output Data Section"), so that decoding one is known to end, and
 * soon, without leaving its section: types and sizes that exist, pointers that stay inside, no cycle, bounded depth, and
 * a bounded length once every pointer in it is followed. Finds country codes on the way. Decodes nothing.
 */
import { COUNTRY_CODE } from "../snapshot/FirewallRule.ts"

/** MaxMind's country records nest five deep, pointers included. */
const DEPTH_MAX = 32

/**
 * What a record may come to with its pointers followed: a byte for each value and those of its contents. MaxMind's country
 * records stay below 1 KB. Without a bound, a few hundred bytes can hold a record that takes a year to decode.
 */
const RECORD_BYTES_MAX = 65_536

/** What a value is to its record. Codes are at `country.iso_code` (MaxMind's), or `country_code` (ip-location-db's). */
type Role = "record" | "country" | "code" | "key" | "other"

export class MmdbValues {
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number
  #visited = 0
  #hasCodes = false
  #room = 0
  #problem = ""
  #keyStart = 0
  #keyEnd = 0

  /** The section from `start` to `end`, both inside `bytes`. Pointers count from its start. */
  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#start = start
    this.#end = end
  }

  /** Values looked at so far, for whoever meters the work. */
  get visited(): number {
    return this.#visited
  }

  /** Whether a record looked at so far has a country code. */
  get hasCodes(): boolean {
    return this.#hasCodes
  }

  /** What is wrong with the record at `offset` of the section, as the end of a sentence; `undefined`: nothing. */
  problemAt(offset: number): string | undefined {
    this.#room = RECORD_BYTES_MAX
    return this.#value(this.#start + offset, 0, "record") === BROKEN ? this.#problem : undefined
  }

  /** Checks the value at `offset` and answers where the next one starts, or `BROKEN`. */
  #value(offset: number, depth: number, role: Role): number {
    this.#visited++
    if (depth > DEPTH_MAX) return this.#broken(`nests values more than ${DEPTH_MAX} deep, or without end`)
    if (--this.#room < 0) return this.#broken(TOO_LARGE)
    if (offset >= this.#end) return this.#broken("ends inside a value")
    const control = this.#bytes[offset]!
    if (control >> 5 === POINTER) return this.#pointer(control, offset + 1, depth, role)
    if (control >> 5 !== EXTENDED) return this.#sized(control >> 5, control & 31, offset + 1, depth, role)
    if (offset + 1 >= this.#end) return this.#broken("ends inside a value")
    const type = this.#bytes[offset + 1]! + 7
    if (type === MAP) return this.#broken("has a value of no known type and size")
    return this.#sized(type, control & 31, offset + 2, depth, role)
  }

  /** Sizes of 29 and more go on in one to three bytes of their own. */
  #sized(type: number, short: number, offset: number, depth: number, role: Role): number {
    const more = Math.max(0, short - 28)
    const contents = offset + more
    if (contents > this.#end) return this.#broken("ends inside a value")
    const size = more === 0 ? short : SIZES_FROM[more]! + this.#bytes.readUIntBE(offset, more)
    if (role === "key" && type !== TEXT) return this.#broken("has a map key that is no text")
    switch (type) {
      case MAP:
        return this.#map(size, contents, depth, role)
      case ARRAY:
        return this.#array(size, contents, depth)
      case BOOLEAN:
        return size <= 1 ? contents : this.#broken("has a boolean that is neither 0 nor 1")
      case TEXT:
        return this.#text(size, contents, role)
      default:
        return this.#plain(type, size, contents)
    }
  }

  #pointer(control: number, offset: number, depth: number, role: Role): number {
    const size = ((control >> 3) & 3) + 1
    if (offset + size > this.#end) return this.#broken("ends inside a value")
    const low = this.#bytes.readUIntBE(offset, size)
    const target = size === 4 ? low : (control & 7) * 2 ** (8 * size) + low + POINTERS_FROM[size]!
    if (target >= this.#end - this.#start) return this.#broken("has a pointer to outside its data")
    return this.#value(this.#start + target, depth + 1, role) === BROKEN ? BROKEN : offset + size
  }

  #map(size: number, contents: number, depth: number, role: Role): number {
    let offset = contents
    for (let i = 0; i < size && offset !== BROKEN; i++) {
      offset = this.#value(offset, depth + 1, "key")
      if (offset !== BROKEN) offset = this.#value(offset, depth + 1, this.#roleIn(role))
    }
    return offset
  }

  #array(size: number, contents: number, depth: number): number {
    let offset = contents
    for (let i = 0; i < size && offset !== BROKEN; i++) offset = this.#value(offset, depth + 1, "other")
    return offset
  }

  #text(size: number, contents: number, role: Role): number {
    const end = this.#plain(TEXT, size, contents)
    if (end === BROKEN) return BROKEN
    if (role === "key") {
      this.#keyStart = contents
      this.#keyEnd = end
    } else if (role === "code" && COUNTRY_CODE.test(this.#bytes.toString("latin1", contents, end))) {
      this.#hasCodes = true
    }
    return end
  }

  /** A value whose contents are `size` bytes. */
  #plain(type: number, size: number, contents: number): number {
    const [least, most] = SIZES[type] ?? NO_SIZE
    if (size < least || size > most) return this.#broken("has a value of no known type and size")
    if (contents + size > this.#end) return this.#broken("ends inside a value")
    this.#room -= size
    return this.#room < 0 ? this.#broken(TOO_LARGE) : contents + size
  }

  /** The role of the value under the key just checked, in a map of this role. */
  #roleIn(parent: Role): Role {
    if (parent !== "record" && parent !== "country") return "other"
    const key = this.#bytes.toString("latin1", this.#keyStart, this.#keyEnd)
    if (parent === "country") return key === "iso_code" ? "code" : "other"
    return key === "country" ? "country" : key === "country_code" ? "code" : "other"
  }

  #broken(problem: string): number {
    this.#problem = problem
    return BROKEN
  }
}

const BROKEN = -1

const TOO_LARGE = `has a record of more than ${RECORD_BYTES_MAX} bytes`

const EXTENDED = 0
const POINTER = 1
const TEXT = 2
const MAP = 7
const ARRAY = 11
const BOOLEAN = 14

/** The least and most bytes of each type's contents. The types left out are not stored in databases. */
const SIZES: Readonly<Record<number, readonly [least: number, most: number]>> = {
  [TEXT]: [0, Infinity],
  3: [8, 8], // double
  4: [0, Infinity], // bytes
  5: [0, 2], // uint16
  6: [0, 4], // uint32
  8: [0, 4], // int32
  9: [0, 8], // uint64
  10: [0, 16], // uint128
  15: [4, 4] // float
}

const NO_SIZE = [1, 0] as const

/** By the bytes a size goes on in: what is added to them. */
const SIZES_FROM = [0, 29, 285, 65_821]

/** By the bytes after a pointer's first: what is added to them. */
const POINTERS_FROM = [0, 0, 2048, 526_336]
