/**
 * What a client does about its TLS handshake, which may be anything but what the proxy waits for: plain values, and how
 * they are played. On null TLS every handshake is a hello, an answer, and the client's last word.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import type { ConnectionReset } from "../../net/Connection.ts"
import type { HandshakeError, TlsStream } from "../../net/Network.ts"
import { clientFinished } from "../../net/sim/NullTls.ts"
import type { SimPeer } from "../../net/sim/SimPeer.ts"
import type { Outcome } from "../../pipeline/Outcome.ts"
import type { Draw } from "../Draw.ts"
import { clientHello } from "../Hello.ts"
import type { ClientPlan } from "./ClientPlan.ts"
import type { WebPlan } from "./WebPlan.ts"

/**
 * `whole` finishes it. The others say their hello and then, after a while: no more (`stalling`), the beginning of their
 * last word (`dawdling`), FIN (`leaving`), RST (`breaking`), an alert (`alerting`), what belongs to no handshake
 * (`garbling`). `foreign` offers a protocol that nobody else speaks.
 */
export type HandshakeKind =
  "whole" | "stalling" | "dawdling" | "leaving" | "breaking" | "alerting" | "garbling" | "foreign"

export interface HandshakePlan {
  readonly kind: HandshakeKind
  /** How long it says nothing behind its hello. */
  readonly pauseMs: number
}

export const drawHandshake = (draw: Draw): HandshakePlan => ({
  kind: draw.weighted(KINDS),
  // Less than the least that the proxy waits, so that each ends as its kind does.
  pauseMs: draw.integer(0, 80)
})

const KINDS: Readonly<Record<HandshakeKind, number>> = {
  whole: 88,
  stalling: 2,
  dawdling: 2,
  leaving: 2,
  breaking: 1,
  alerting: 2,
  garbling: 2,
  foreign: 1
}

/** How the connection of one ends that fails; `undefined`: it goes on. */
export const handshakeOutcome = ({ kind }: HandshakePlan): Outcome | undefined => OUTCOMES[kind]

const OUTCOMES: Readonly<Record<HandshakeKind, Outcome | undefined>> = {
  whole: undefined,
  stalling: "handshake_timeout",
  dawdling: "handshake_timeout",
  leaving: "handshake_failed",
  breaking: "reset",
  alerting: "handshake_failed",
  garbling: "handshake_failed",
  foreign: "handshake_failed"
}

/** `undefined`: there was none, and the connection is over. */
export const shakeHands = Effect.fnUntraced(function* (
  peer: SimPeer,
  { hostname }: ClientPlan,
  { alpn, handshake: { kind, pauseMs } }: WebPlan
): Effect.fn.Return<TlsStream | undefined, ConnectionReset | HandshakeError, Scope.Scope> {
  if (kind === "whole") return yield* peer.secure({ serverName: hostname, alpn })
  yield* peer.write(clientHello({ name: hostname, alpn: kind === "foreign" ? ["spdy/3"] : alpn }))
  yield* Effect.sleep(pauseMs)
  if (kind === "leaving") yield* peer.finish
  else if (kind === "breaking") peer.reset()
  else yield* peer.write(LAST_WORDS[kind])
  const { end } = yield* peer.readAll
  if (end === "FIN") yield* peer.resetByAny
  return undefined
})

const LAST_WORDS: Readonly<Record<Exclude<HandshakeKind, "whole" | "leaving" | "breaking">, Uint8Array>> = {
  stalling: new Uint8Array(0),
  dawdling: clientFinished().subarray(0, 6),
  // unknown_ca, fatal.
  alerting: Uint8Array.of(21, 3, 3, 0, 2, 2, 48),
  garbling: Uint8Array.of(23, 3, 3, 0, 4, 71, 69, 84, 32),
  foreign: new Uint8Array(0)
}
