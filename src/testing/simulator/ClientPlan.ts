/** What one client does: whence it comes, what it says in which pieces, and how it leaves. */
import { writeProxyHeader } from "../../proxyproto/ProxyHeaderV2.ts"
import { formatSocketAddress, type SocketAddress } from "../../net/SocketAddress.ts"
import { concat, pattern } from "../Bytes.ts"
import type { Draw } from "../Draw.ts"
import { clientHello } from "../Hello.ts"
import { drawWeb, type WebPlan } from "./WebPlan.ts"
import { WEB_HOSTNAMES } from "./WebSite.ts"
import { hostname, ip } from "./Parsed.ts"
import {
  ADDED,
  CLIENT_IPS,
  EDGE_IPS,
  HOSTNAMES,
  LIMITED,
  PLAIN,
  PROXIED,
  STRANGE_PEER,
  TRUSTED_PEER,
  UNKNOWN_HOSTNAME
} from "./Site.ts"

/**
 * How it leaves. `web` speaks HTTP and leaves as its own plan says. `finishing` says all and then FIN, `idling` says all and waits, `resetting` says some and resets. The others never
 * get as far as a backend: they stop within the hello (`dawdling` waits, `leaving` finishes, `breaking` resets), or what
 * they say is no hello with a name.
 */
export type ClientKind =
  | "finishing"
  | "idling"
  | "resetting"
  | "dawdling"
  | "leaving"
  | "breaking"
  | "garbling"
  | "boasting"
  | "nameless"
  | "web"

/** What goes before the hello: nothing, a header of either version, a load balancer's own, or one that is broken. */
export type HeaderKind = "none" | "v1" | "v2" | "local" | "broken"

export interface ClientPlan {
  /** Its port is `CLIENT_PORT` and its number, wherever it comes from. */
  readonly number: number
  readonly atMs: number
  readonly kind: ClientKind
  readonly listener: string
  /** The TCP peer. */
  readonly from: SocketAddress
  /** Whom a firewall has to judge: the one the header tells of, where there is one. */
  readonly source: SocketAddress
  readonly header: HeaderKind
  /** The server name; the one it would have asked for where it does not get so far. */
  readonly hostname: string
  /** The PROXY header, which the proxy takes out. */
  readonly headerBytes: Uint8Array
  /** What a backend is to get: all, or what is sent before it leaves. */
  readonly bytes: Uint8Array
  /** How much it writes at a time, and how long it waits in between. */
  readonly pieceBytes: number
  readonly pauseMs: number
  /** How much it reads at a time; it takes `pauseMs` for each. */
  readonly readBytes: number
  /** Of those who speak HTTP. */
  readonly web: WebPlan | undefined
}

export const CLIENT_PORT = 20_000

export const drawClient = (draw: Draw, number: number, spanMs: number, helloBytesMax: number): ClientPlan => {
  const kind = draw.weighted(KINDS)
  const listener = draw.weighted({ [PLAIN]: 10, [PROXIED]: 4, [LIMITED]: 3, [ADDED]: 1 })
  const source = { ip: ip(draw.pick(CLIENT_IPS)), port: CLIENT_PORT + number }
  const header: HeaderKind =
    listener === PROXIED ? draw.weighted({ v1: 4, v2: 8, local: 2, broken: 2, none: 1 }) : "none"
  const peer = listener === PROXIED ? { ip: draw.chance(85) ? TRUSTED_PEER : STRANGE_PEER, port: source.port } : source
  const name = draw.chance(6) ? UNKNOWN_HOSTNAME : draw.pick(kind === "web" ? WEB_HOSTNAMES : HOSTNAMES)
  const dribbles = draw.chance(25)
  return {
    number,
    atMs: draw.integer(1, spanMs),
    kind,
    listener,
    from: peer,
    source: header === "v1" || header === "v2" ? source : peer,
    header,
    hostname: name,
    headerBytes: headerBytes(header, source, number),
    bytes: drawBytes(draw, kind, name, number, helloBytesMax),
    pieceBytes: dribbles ? draw.integer(20, 300) : 65_536,
    pauseMs: dribbles ? draw.integer(1, 15) : 0,
    readBytes: draw.chance(15) ? draw.integer(50, 500) : 65_536,
    web: kind === "web" ? drawWeb(draw) : undefined
  }
}

/** One of the same source, a window later to the millisecond, as far as the way takes as long. */
export const drawReturning = (
  draw: Draw,
  first: ClientPlan,
  number: number,
  windowMs: number,
  helloBytesMax: number
): ClientPlan => ({
  ...drawClient(draw, number, windowMs, helloBytesMax),
  atMs: first.atMs + windowMs,
  listener: PLAIN,
  from: { ip: first.source.ip, port: CLIENT_PORT + number },
  source: { ip: first.source.ip, port: CLIENT_PORT + number },
  header: "none",
  headerBytes: new Uint8Array(0)
})

const KINDS: Readonly<Record<ClientKind, number>> = {
  finishing: 55,
  idling: 7,
  resetting: 8,
  dawdling: 4,
  leaving: 4,
  breaking: 4,
  garbling: 4,
  boasting: 3,
  nameless: 4,
  web: 30
}

/** The number is the beginning of the hello's `random`, so that a backend can tell who has come. */
const drawBytes = (draw: Draw, kind: ClientKind, asked: string, number: number, helloBytesMax: number) => {
  const name = kind === "nameless" ? draw.pick([undefined, "192.0.2.9", "[::1]", "a..test"]) : asked
  const random = Uint8Array.of(number >> 8, number & 255)
  const recordBytes = draw.chance(20) ? draw.integer(40, 80) : 16_384
  const hello = clientHello({ name, random, recordBytes })
  const payload = pattern(draw.chance(15) ? 0 : draw.integer(1, PAYLOAD_BYTES_MAX), number)
  switch (kind) {
    case "dawdling":
    case "leaving":
    case "breaking":
      return hello.subarray(0, draw.integer(0, hello.length - 1))
    case "garbling":
      return concat(Uint8Array.of(draw.pick([0, 21, 23, 71, 128])), draw.bytes(draw.integer(0, 100)))
    case "boasting":
      return boast(helloBytesMax)
    case "web":
      return hello
    case "finishing":
    case "idling":
    case "resetting":
    case "nameless":
      return concat(hello, payload)
  }
}

/** Fits into the least of a link's buffers with the hello, so that no FIN waits behind a reader that does not come. */
const PAYLOAD_BYTES_MAX = 2_500

/** The beginning of a hello that says that it is longer than one may be. */
const boast = (helloBytesMax: number): Uint8Array =>
  Uint8Array.of(22, 3, 1, 0x40, 0, 1, 0, (helloBytesMax + 1) >> 8, (helloBytesMax + 1) & 255, 3, 3)

const headerBytes = (header: HeaderKind, client: SocketAddress, number: number): Uint8Array => {
  const destination = { ip: EDGE_IPS[client.ip.family === 4 ? 0 : 1]!, port: 443 }
  switch (header) {
    case "none":
      return new Uint8Array(0)
    case "v1":
      return Buffer.from(`PROXY ${addressesOf(client, destination, number)} ${client.port} 443\r\n`)
    case "v2":
      return writeProxyHeader({
        client,
        destination,
        authority: hostname("load-balancer.test"),
        uniqueId: String(number)
      })
    case "local":
      return Uint8Array.of(...V2_SIGNATURE, 0x20, 0, 0, 0)
    case "broken":
      return number % 2 === 0 ? Buffer.from("PROXY TCP4 over there\r\n") : Uint8Array.of(...V2_SIGNATURE, 0x11, 0)
  }
}

/** An IPv4 address may come as IPv4-mapped (RFC 4291 2.5.5.2), and is the same. */
const addressesOf = (client: SocketAddress, destination: SocketAddress, number: number): string =>
  client.ip.family === 4 && number % 2 === 0
    ? `TCP6 ::ffff:${client.ip.text} ::ffff:${destination.ip.text}`
    : `TCP${client.ip.family} ${client.ip.text} ${destination.ip.text}`

const V2_SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

/** The client of that address, by its port. */
export const numberOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1)) - CLIENT_PORT

export const nameOf = ({ from, kind, number }: ClientPlan): string =>
  `client ${number} (${kind}, ${formatSocketAddress(from)})`
