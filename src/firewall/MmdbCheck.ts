/**
 * Opens a MaxMind DB, after looking at everything that a look-up can reach: `maxmind` itself trusts its file, and a
 * broken one makes it throw, overflow the stack or compute for hours, at some address, some day.
 *
 * What passes here can be looked up at any address without any of that. The work is proportional to the file, and given
 * in slices of about a millisecond, so that the caller can let connections run in between.
 */
import { Result } from "effect"
import { Reader, type CountryResponse } from "maxmind"
import { MmdbValues } from "./MmdbValues.ts"

/** What a database that passed has at an address: one or the other, or neither. Nothing says that the types are right. */
export type CountryRecord = CountryResponse & { readonly country_code?: string }

type Metadata = Reader<CountryRecord>["metadata"]

/** Where the parts of a database are. */
interface Layout {
  readonly bytes: Buffer
  readonly addressBits: 32 | 128
  readonly nodeCount: number
  readonly recordBits: number
  readonly dataStart: number
  readonly dataEnd: number
}

/** Halves of tree nodes and values looked at in a slice: less than a millisecond. */
const SLICE_STEPS = 20_000

/** The same in all: the time of a check is bounded even if each record of a crafted file is as large as one may be. */
const STEPS_MAX = 1_000_000_000

/** The format's own limit to the metadata at the end of a file, its marker included. */
const METADATA_BYTES_MAX = 131_072

/** Bytes of zeros between the tree and the data. */
const SEPARATOR_BYTES = 16

const METADATA_MARKER = Buffer.from("\xab\xcd\xefMaxMind.com", "latin1")

const NO_METADATA = "is no MaxMind DB, or not all of one: it does not end in metadata"

/** Yields after each slice. Ends with the database, or with what is wrong as the end of a sentence. */
export function* openMmdb(
  bytes: Buffer,
  options: ConstructorParameters<typeof Reader>[1],
  stepsMax = STEPS_MAX
): Generator<void, Result.Result<Reader<CountryRecord>, string>> {
  const metadataStart = findMetadata(bytes)
  if (metadataStart === undefined) return Result.fail(NO_METADATA)
  const problem = new MmdbValues(bytes, metadataStart, bytes.length).problemAt(0)
  if (problem !== undefined) return Result.fail(`${problem}, in its metadata`)
  const opened = Result.try({
    try: () => new Reader<CountryRecord>(bytes, options),
    catch: (error) => `cannot be opened: ${error instanceof Error ? error.message : String(error)}`
  })
  if (Result.isFailure(opened)) return opened
  const reader = opened.success
  const layout = layoutOf(bytes, metadataStart, reader.metadata)
  if (Result.isFailure(layout)) return Result.fail(layout.failure)
  const broken = yield* checkTree(layout.success, stepsMax)
  return broken === undefined ? Result.succeed(reader) : Result.fail(broken)
}

/** The metadata as `maxmind` will use them, and whether the file has room for what they say. */
const layoutOf = (bytes: Buffer, metadataStart: number, metadata: Metadata): Result.Result<Layout, string> => {
  const { binaryFormatMajorVersion, buildEpoch, ipVersion, nodeCount, recordSize, searchTreeSize } = metadata
  const dataStart = searchTreeSize + SEPARATOR_BYTES
  const dataEnd = metadataStart - METADATA_MARKER.length
  if (binaryFormatMajorVersion !== 2) return Result.fail("is not in version 2 of the MaxMind DB format")
  if (ipVersion !== 4 && ipVersion !== 6) return Result.fail("is for an IP version other than 4 and 6")
  if (Number.isNaN(buildEpoch.getTime())) return Result.fail("does not say when it was built")
  if (!Number.isInteger(nodeCount) || nodeCount < 1) return Result.fail("has no search tree")
  if (dataStart > dataEnd) return Result.fail("is shorter than the search tree that its metadata tell of")
  if (bytes.subarray(searchTreeSize, dataStart).some((byte) => byte !== 0)) {
    return Result.fail("has no data where its metadata tell that the search tree ends")
  }
  const addressBits = ipVersion === 4 ? 32 : 128
  return Result.succeed({ bytes, addressBits, nodeCount, recordBits: recordSize, dataStart, dataEnd })
}

/** Visits every node that can be reached once, and every record of theirs once. */
function* checkTree(layout: Layout, stepsMax: number): Generator<void, string | undefined> {
  const { addressBits, bytes, dataEnd, dataStart, nodeCount } = layout
  const values = new MmdbValues(bytes, dataStart, dataEnd)
  const seenNodes = new BitSet(nodeCount)
  const seenRecords = new BitSet(dataEnd - dataStart)
  seenNodes.add(0)
  // From the root to where we are, with the half to go into next.
  const path = [{ node: 0, side: 0 }]
  let visits = 0
  let sliceEnd = SLICE_STEPS
  for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
    const steps = ++visits + values.visited
    if (steps > stepsMax) return "takes too long to check"
    if (steps > sliceEnd) {
      sliceEnd = steps + SLICE_STEPS
      yield
    }
    if (at.side === 2) {
      path.pop()
      continue
    }
    const record = recordOf(layout, at.node, at.side++)
    if (record < nodeCount && seenNodes.add(record)) {
      if (path.length === addressBits) return "has a search tree deeper than an address has bits"
      path.push({ node: record, side: 0 })
    } else if (record < nodeCount) {
      // Several networks may share a subtree, as 6to4's does IPv4's.
      if (path.some(({ node }) => node === record)) return "has a search tree that leads back into itself"
    } else if (record > nodeCount) {
      const offset = record - nodeCount - SEPARATOR_BYTES
      if (offset < 0 || offset >= dataEnd - dataStart) return "has a search tree that points to outside its data"
      const problem = seenRecords.add(offset) ? values.problemAt(offset) : undefined
      if (problem !== undefined) return problem
    }
  }
  return values.hasCodes ? undefined : "has no country codes, neither country.iso_code nor country_code"
}

/** Where a node's left (0) or right (1) half leads: a node, or nowhere (the count of nodes), or further: a record. */
const recordOf = ({ bytes, recordBits }: Layout, node: number, side: number): number => {
  const offset = (node * recordBits) / 4
  if (recordBits === 24) return bytes.readUIntBE(offset + 3 * side, 3)
  if (recordBits === 32) return bytes.readUInt32BE(offset + 4 * side)
  // 28: the fourth byte holds the upper four bits of both.
  const middle = bytes[offset + 3]!
  return (side === 0 ? middle >> 4 : middle & 15) * 2 ** 24 + bytes.readUIntBE(offset + 4 * side, 3)
}

/**
 * The offset after the last marker. Searches as `mmdb-lib` does, byte by byte from the end without backtracking, so that
 * both mean the same one; but not beyond where it may be.
 */
const findMetadata = (bytes: Buffer): number | undefined => {
  const last = METADATA_MARKER.length - 1
  const first = Math.max(0, bytes.length - METADATA_BYTES_MAX)
  let found = 0
  for (let i = bytes.length - 2; i >= first; i--) {
    found = bytes[i] === METADATA_MARKER[last - found] ? found + 1 : 0
    if (found > last) return i + METADATA_MARKER.length
  }
  return undefined
}

/** Numbers from 0 to a maximum, a bit each. */
class BitSet {
  readonly #bits: Uint8Array

  constructor(size: number) {
    this.#bits = new Uint8Array(Math.ceil(size / 8))
  }

  /** Adds `index`; false when it was there. */
  add(index: number): boolean {
    const bit = 1 << (index & 7)
    const byte = this.#bits[index >>> 3]!
    this.#bits[index >>> 3] = byte | bit
    return (byte & bit) === 0
  }
}
