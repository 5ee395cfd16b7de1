/**
 * The admin API of a running proxy, for programs in TypeScript: every operation of `AdminRpcs`, typed, over its socket.
 *
 *     const program = Effect.gen(function* () {
 *       const admin = yield* AdminClient
 *       yield* admin.addFirewallRule({ rule: { type: "cidr", value: "192.0.2.0/24" } })
 *     })
 *     program.pipe(Effect.provide(AdminClient.layer({ socket: "/srv/mc-proxy/mc-proxy.sock" })))
 *
 * An operation fails with the proxy's own refusal (`AdminError`), or with `AdminUnreachable` when there was no answer.
 * The layer connects to nothing; each operation uses a connection of its own.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Cause, Context, Effect, Layer, Schema, Stream } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { type Rpc, RpcClient, type RpcGroup, RpcSerialization } from "effect/rpc"
import { AdminError } from "./AdminError.ts"
import { AdminRpcs } from "./AdminRpcs.ts"
import { AdminUnreachable } from "./AdminUnreachable.ts"

export class AdminClient extends Context.Service<
  AdminClient,
  Operations & {
    /** As load balancers ask (`grpc.health.v1`): `NOT_SERVING` from when the proxy drains. */
    readonly health: Effect.Effect<"SERVING" | "NOT_SERVING", AdminUnreachable>
  }
>()("mc-proxy/admin/AdminClient") {
  static layer({ socket }: AdminClientOptions): Layer.Layer<AdminClient> {
    return Layer.effect(AdminClient, make(socket)).pipe(
      Layer.provide([
        NodeHttpClient.layerNodeHttpOptions({ socketPath: socket }),
        RpcSerialization.layerNdjsonWith({ maxBufferSize: ANSWER_LENGTH_MAX })
      ])
    )
  }
}

export interface AdminClientOptions {
  /** The path of the Unix socket: `addr` of the config's `[grpc]`. */
  readonly socket: string
}

/** The operations by name; `watchConnections` is a stream, and all others end within `ANSWER_SECONDS_MAX`. */
export type Operations = {
  readonly [O in Operation as O["_tag"]]: (request: Rpc.PayloadConstructor<O>) => Answer<O>
}

export type Operation = RpcGroup.Rpcs<typeof AdminRpcs>

type Answer<O extends Operation> =
  Rpc.Success<O> extends Stream.Stream<infer Item, AdminError>
    ? Stream.Stream<Item, AdminError | AdminUnreachable>
    : Effect.Effect<Rpc.Success<O>, AdminError | AdminUnreachable>

/** For HTTP's sake; who answers is the socket's affair. */
const ORIGIN = "http://localhost"

/** A whole answer: a million firewall rules have half of it. */
const ANSWER_LENGTH_MAX = 128 * 1024 * 1024

/** Ten times what an import of 100,000 rules takes on a slow disk; longer than a database may be locked by others. */
const ANSWER_SECONDS_MAX = 60

/** For `health` and `getStatus`, which wait for no disk, and whose answer has to come soon to be of use. */
const STATUS_SECONDS_MAX = 10

const make = Effect.fnUntraced(function* (socket: string) {
  const http = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const atRpc = HttpClient.mapRequest(http, HttpClientRequest.prependUrl(`${ORIGIN}/rpc`))
  const protocol = yield* RpcClient.makeProtocolHttp(atRpc)
  const rpcs = yield* Effect.provideService(RpcClient.make(AdminRpcs), RpcClient.Protocol, protocol)
  return AdminClient.of({ ...inWords(rpcs, socket), health: askHealth(http, socket) })
})

/** Bounded in time, and with one kind of error for every way in which an answer may not come. */
const inWords = (rpcs: Readonly<Record<string, Ask>>, socket: string): Operations => {
  const asks = Object.entries(rpcs).map(([name, ask]) => [
    name,
    (request: never) => {
      const answer = ask(request)
      return Stream.isStream(answer)
        ? Stream.catchCause(answer, (cause) => Stream.failCause(causeInWords(cause, socket)))
        : inTime(
            Effect.catchCause(answer, (cause) => Effect.failCause(causeInWords(cause, socket))),
            socket,
            name === "getStatus" ? STATUS_SECONDS_MAX : ANSWER_SECONDS_MAX
          )
    }
  ])
  return Object.fromEntries(asks) as Operations
}

type Ask = (request: never) => Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>

const inTime = <A, E>(answer: Effect.Effect<A, E>, socket: string, secondsMax: number) =>
  Effect.timeoutOrElse(answer, {
    duration: secondsMax * 1000,
    orElse: () => Effect.fail(AdminUnreachable.silent(socket, secondsMax))
  })

const isRefusal = Schema.is(AdminError)

/**
 * A defect of decoding is an answer of another version's; any other is a bug, and stays one. Interruption that gets here
 * is the proxy's, which ends so what it is at when it stops; a caller that is interrupted itself asks for no words.
 */
const causeInWords = (cause: Cause.Cause<unknown>, socket: string): Cause.Cause<AdminError | AdminUnreachable> => {
  const undecoded = cause.reasons.some((reason) => Cause.isDieReason(reason) && Schema.isSchemaError(reason.defect))
  if (undecoded) return Cause.fail(AdminUnreachable.foreign(socket))
  if (Cause.hasInterruptsOnly(cause)) return Cause.fail(AdminUnreachable.cut(socket))
  return Cause.map(cause, (error) => (isRefusal(error) ? error : AdminUnreachable.from(socket, error)))
}

const HealthCheckResponse = Schema.Struct({ status: Schema.Literals(["SERVING", "NOT_SERVING"]) })

/** By the Connect protocol, in which a unary call is a POST of JSON. */
const askHealth = (http: HttpClient.HttpClient, socket: string) =>
  HttpClientRequest.post(`${ORIGIN}/grpc.health.v1.Health/Check`).pipe(
    HttpClientRequest.bodyJsonUnsafe({}),
    http.execute,
    Effect.flatMap(HttpClientResponse.schemaBodyJson(HealthCheckResponse)),
    Effect.map(({ status }) => status),
    Effect.mapError((error) => AdminUnreachable.from(socket, error)),
    (answer) => inTime(answer, socket, STATUS_SECONDS_MAX)
  )
