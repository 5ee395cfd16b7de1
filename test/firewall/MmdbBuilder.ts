/** Writes MaxMind DBs, good ones and such as no honest writer makes. */
import type { Cidr } from "../../src/snapshot/FirewallRule.ts"
import { bitsOf, numberOf } from "./Networks.ts"

/** A value to write; `Encoded` goes in as it is. */
export type MmdbValue = string | number | bigint | Encoded | { readonly [key: string]: MmdbValue }

export class Encoded {
  readonly bytes: Buffer

  constructor(...parts: ReadonlyArray<number | Buffer>) {
    this.bytes = Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : part)))
  }
}

export const encode = (value: MmdbValue): Buffer => {
  if (value instanceof Encoded) return value.bytes
  if (typeof value === "bigint") return Buffer.concat([Buffer.of(8, 2), wordOf(value, 8)])
  if (typeof value === "number") return Buffer.concat([Buffer.of(0xc4), wordOf(BigInt(value), 4)])
  if (typeof value === "string") return Buffer.concat([sized(2, Buffer.byteLength(value)), Buffer.from(value)])
  const entries = Object.entries(value)
  return Buffer.concat([sized(7, entries.length), ...entries.flatMap(([key, item]) => [encode(key), encode(item)])])
}

/** The control byte of a type below 8, and the size's own bytes. */
export const sized = (type: number, size: number): Buffer => {
  const control = type << 5
  if (size < 29) return Buffer.of(control | size)
  if (size < 285) return Buffer.of(control | 29, size - 29)
  if (size < 65_821) return Buffer.concat([Buffer.of(control | 30), wordOf(BigInt(size - 285), 2)])
  return Buffer.concat([Buffer.of(control | 31), wordOf(BigInt(size - 65_821), 3)])
}

/** A pointer to an offset of the data section, in four bytes. */
export const pointer = (target: number): Encoded => new Encoded(0x38, wordOf(BigInt(target), 4))

export interface MmdbOptions {
  readonly ipVersion?: 4 | 6
  readonly recordBits?: 24 | 28 | 32
  /** Goes over the metadata that are true; `undefined` leaves a key out. */
  readonly metadata?: { readonly [key: string]: MmdbValue | undefined }
}

/** A database with a record for each network; of two around an address, the narrower one's counts. */
export const buildMmdb = (
  networks: ReadonlyArray<readonly [Cidr, MmdbValue]>,
  { ipVersion = 6, metadata = {}, recordBits = 24 }: MmdbOptions = {}
): Buffer => {
  const data = networks.map(([, value]) => encode(value))
  const offsets = data.map((_, i) => Buffer.concat(data.slice(0, i)).length)
  const nodes = treeOf(networks.map(([cidr]) => pathOf(cidr, ipVersion)))
  const record = (child: Child) =>
    child === undefined ? nodes.length : child.kind === "node" ? child.index : nodes.length + 16 + offsets[child.index]!
  const tree = nodes.map(([left, right]) => encodeNode(record(left), record(right), recordBits))
  return assemble(Buffer.concat(tree), Buffer.concat(data), {
    node_count: nodes.length,
    record_size: recordBits,
    ip_version: ipVersion,
    ...metadata
  })
}

/** The parts of a database, put together as they are. */
export const assemble = (
  tree: Buffer,
  data: Buffer,
  metadata: { readonly [key: string]: MmdbValue | undefined }
): Buffer => {
  const complete = {
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_700_000_000n,
    database_type: "Test",
    ...metadata
  }
  const present = Object.entries(complete).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const]
  )
  const marker = Buffer.from("\xab\xcd\xefMaxMind.com", "latin1")
  return Buffer.concat([tree, Buffer.alloc(16), data, marker, encode(Object.fromEntries(present))])
}

export const encodeNode = (left: number, right: number, recordBits: 24 | 28 | 32): Buffer => {
  const half = recordBits === 32 ? 4 : 3
  const [lower, upper] = [left, right].map((record) => wordOf(BigInt(record) & (2n ** BigInt(half * 8) - 1n), half))
  const middle = recordBits === 28 ? Buffer.of(((left >>> 24) << 4) | (right >>> 24)) : Buffer.alloc(0)
  return Buffer.concat([lower!, middle, upper!])
}

/** A node, a network's record, or nothing. */
type Child = { readonly kind: "node" | "network"; readonly index: number } | undefined

/** Nodes by number, the root first. */
const treeOf = (paths: ReadonlyArray<string>): ReadonlyArray<readonly [Child, Child]> => {
  const nodes: Array<readonly [Child, Child]> = []
  const narrowestAt = (prefix: string): Child => {
    const covering = paths.flatMap((path, index) => (prefix.startsWith(path) ? [{ path, index }] : []))
    const narrowest = covering.toSorted((a, b) => b.path.length - a.path.length)[0]
    return narrowest && { kind: "network", index: narrowest.index }
  }
  const childAt = (prefix: string): Child => {
    if (prefix !== "" && !paths.some((path) => path.length > prefix.length && path.startsWith(prefix))) {
      return narrowestAt(prefix)
    }
    const index = nodes.push([undefined, undefined]) - 1
    nodes[index] = [childAt(`${prefix}0`), childAt(`${prefix}1`)]
    return { kind: "node", index }
  }
  childAt("")
  return nodes
}

/** The bits of a network as the tree has them: IPv4 networks are inside ::/96 of an IPv6 tree. */
const pathOf = ({ ip, length }: Cidr, ipVersion: 4 | 6): string => {
  const bits = numberOf(ip).toString(2).padStart(bitsOf(ip), "0").slice(0, length)
  return ip.family === 4 && ipVersion === 6 ? "0".repeat(96) + bits : bits
}

const wordOf = (value: bigint, bytes: number): Buffer => Buffer.from(value.toString(16).padStart(bytes * 2, "0"), "hex")
