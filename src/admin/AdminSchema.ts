/**
 * What the admin API's operations take and give, by the names of `proto/mc_proxy/v1/admin.proto`.
 *
 * The encoded side of each schema is the message's proto3 JSON, so that one codec serves Effect RPC, gRPC and Connect.
 * Requests are read loosely: what is no host name, address or rule is for the operation to refuse, in words.
 */
import { Effect, Schema, SchemaGetter } from "effect"
import { OUTCOMES } from "../pipeline/Outcome.ts"

/** May be left out: `fallback`. */
const optional = <S extends Schema.Top & Schema.WithoutConstructorDefault>(
  schema: S,
  fallback: NoInfer<S["~type.make.in"] & S["Encoded"]>
) =>
  schema.pipe(
    Schema.withConstructorDefault(Effect.succeed(fallback)),
    Schema.withDecodingDefaultKey(Effect.succeed(fallback))
  )

/** JSON can carry half of a surrogate pair, and neither protobuf nor the database can. */
const isUnicode = Schema.makeFilter((value: string) => value.isWellFormed(), { expected: "well-formed Unicode" })

export const text = optional(Schema.String.check(isUnicode), "")
export const flag = optional(Schema.Boolean, false)
export const uint32 = optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff })), 0)
export const list = <Item extends Schema.Top>(item: Item) => optional(Schema.Array(item), [])

/** A whole number that proto3 JSON writes as a string. Exact up to 2^53. */
export const uint64 = Schema.Union([Schema.String, Schema.Int]).pipe(
  Schema.decodeTo(Schema.Natural, {
    decode: SchemaGetter.transform(Number),
    encode: SchemaGetter.transform((value: number): string | number => String(value))
  }),
  Schema.withConstructorDefault(Effect.succeed(0)),
  Schema.withDecodingDefaultKey(Effect.succeed("0"))
)

/** Ten thousand years: `google.protobuf.Duration` has no more. */
const DURATION_MS_MAX = 315_576_000_000_000

/** Milliseconds, which proto3 JSON writes as seconds, with no decimals or three: `"12s"`, `"12.340s"`. */
const durationMs = Schema.String.pipe(
  Schema.decodeTo(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: DURATION_MS_MAX })), {
    decode: SchemaGetter.transform((wire: string) => Math.round(Number(wire.slice(0, -1)) * 1000)),
    encode: SchemaGetter.transform((ms: number) => `${(ms / 1000).toFixed(ms % 1000 === 0 ? 0 : 3)}s`)
  })
)

/**
 * A proto3 enum: its JSON names are in upper case behind `prefix`. `unspecified` is what 0 is read as, if anything; the
 * empty name is 0 itself.
 */
const enumOf = <const Name extends string>(prefix: string, names: ReadonlyArray<Name>, unspecified?: NoInfer<Name>) => {
  const wireOf = (name: Name) => `${prefix}_${name === "" ? "UNSPECIFIED" : name.toUpperCase().replace("/1.1", "1")}`
  const nameOf = new Map(names.map((name) => [wireOf(name), name]))
  if (unspecified !== undefined) nameOf.set(`${prefix}_UNSPECIFIED`, unspecified)
  return Schema.Union([Schema.String, Schema.Int]).pipe(
    Schema.decodeTo(Schema.Literals(names).annotate({ message: `is not one of ${names.join(", ")}` }), {
      decode: SchemaGetter.transform((wire: string | number) => nameOf.get(String(wire)) ?? (String(wire) as Name)),
      encode: SchemaGetter.transform((name: Name): string | number => wireOf(name))
    })
  )
}

const routeMode = enumOf("ROUTE_MODE", ["l4", "l7"], "l4").pipe(
  Schema.withConstructorDefault(Effect.succeed("l4" as const)),
  Schema.withDecodingDefaultKey(Effect.succeed("ROUTE_MODE_L4"))
)

const backendProtocol = enumOf("BACKEND_PROTOCOL", ["h2", "http/1.1"], "h2").pipe(
  Schema.withConstructorDefault(Effect.succeed("h2" as const)),
  Schema.withDecodingDefaultKey(Effect.succeed("BACKEND_PROTOCOL_H2"))
)

export const L7Policy = Schema.Struct({
  type: enumOf("L7_POLICY_TYPE", ["block_user_agent", "require_header"]),
  value: text
})

/** What is for L7 alone has its default on an L4 route. */
export const Route = Schema.Struct({
  hostname: text,
  backend: text,
  mode: routeMode,
  tlsCert: text,
  tlsKey: text,
  backendTls: flag,
  sendProxyProtocol: flag,
  l7Policies: list(L7Policy),
  backendProtocol,
  backendCa: text,
  backendServerName: text
})
export type Route = typeof Route.Type

export const FirewallRule = Schema.Struct({
  type: enumOf("FIREWALL_RULE_TYPE", ["ip", "cidr", "country"]),
  value: text
})

export const Listener = Schema.Struct({
  addr: text,
  proxyProtocol: flag,
  trustedProxies: list(Schema.String),
  maxConnections: uint32
})
export type Listener = typeof Listener.Type

export const ListenerRoutes = Schema.Struct({ listenerAddr: text, routes: list(Route) })

export const ListenerConfig = Schema.Struct({ listener: Listener, routes: list(Route) })

export const ListenerStatus = Schema.Struct({
  addr: text,
  routeCount: uint32,
  activeConnections: uint64,
  proxyProtocol: flag,
  maxConnections: uint32,
  trustedProxies: list(Schema.String),
  problems: list(Schema.String)
})

export const Status = Schema.Struct({
  version: text,
  startedAt: Schema.DateTimeUtcFromString,
  /** Milliseconds. */
  uptime: durationMs,
  totalConnections: uint64,
  activeConnections: uint64,
  listeners: list(ListenerStatus),
  draining: flag,
  revision: uint64
})

export const Connection = Schema.Struct({
  id: text,
  listenerAddr: text,
  client: text,
  hostname: text,
  backend: text,
  /** Empty until routed. */
  mode: enumOf("ROUTE_MODE", ["", "l4", "l7"]).pipe(
    Schema.withConstructorDefault(Effect.succeed("" as const)),
    Schema.withDecodingDefaultKey(Effect.succeed("ROUTE_MODE_UNSPECIFIED"))
  ),
  openedAt: Schema.DateTimeUtcFromString,
  bytesFromClient: uint64,
  bytesFromBackend: uint64,
  peer: text,
  country: text
})
export type Connection = typeof Connection.Type

/** `connection` with `opened` and `closed`, `outcome` with `closed`, `dropped` with `dropped`. */
export const ConnectionEvent = Schema.Struct({
  event: enumOf("EVENT", ["opened", "closed", "dropped"]),
  connection: Schema.optionalKey(Connection),
  outcome: optional(Schema.Literals(["", ...OUTCOMES]), ""),
  dropped: uint64
})
export type ConnectionEvent = typeof ConnectionEvent.Type

export const StageVerdict = Schema.Struct({ stage: text, verdict: text, detail: text })

export const Explanation = Schema.Struct({
  /** An outcome, or `routed`. */
  outcome: text,
  country: text,
  matchedRule: Schema.optionalKey(FirewallRule),
  route: Schema.optionalKey(Route),
  stages: list(StageVerdict)
})
export type Explanation = typeof Explanation.Type

export const ReloadFailure = Schema.Struct({ path: text, reason: text })
