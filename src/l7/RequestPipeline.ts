/**
 * The life of a request: read → policies → send → answer's head → bodies both ways → trailers.
 *
 * It runs in a fiber of its own, scoped to the client's connection, so that ending it cancels the backend's part at
 * once. What refuses a request is a plain value with the status that the client gets; `serveRequest` cannot fail, and
 * each request that it has run is answered or broken off, counted and logged.
 */
import { Cause, Effect, Exit, Option, Result } from "effect"
import type { AccessLog } from "../observe/AccessLog.ts"
import type { ConnectionTrace } from "../pipeline/ConnectionTrace.ts"
import type { Hostname } from "../snapshot/Hostname.ts"
import type { IpAddress } from "../net/IpAddress.ts"
import type { BackendFailed, BackendPool, BackendResponse } from "./backend/Backends.ts"
import { PendingRequest } from "./backend/PendingRequest.ts"
import { BodyCopy, type CopyEnd } from "./BodyCopy.ts"
import type { Exchange, Refused } from "./Exchange.ts"
import { withoutField } from "./Fields.ts"
import { withForwarded } from "./ForwardedFields.ts"
import type { LiveRequest, RequestEnd } from "./LiveRequest.ts"
import { RequestTrace } from "./RequestTrace.ts"
import type { IncomingBody, OutgoingBody, RequestHead, ResponseHead } from "./Message.ts"
import { firstMatch } from "./Policies.ts"
import { proxyAnswer, type ProxyStatus } from "./ProxyAnswer.ts"
import type { VirtualHost } from "./VirtualHost.ts"

/** What the requests of one client connection have in common. */
export interface RequestGrounds {
  readonly host: VirtualHost
  readonly pool: BackendPool
  readonly client: IpAddress
  readonly access: AccessLog["Service"]
  /** What each line of the access log says of the connection. */
  readonly told: {
    readonly id: string
    readonly listener: string
    readonly client: string
    readonly hostname: Hostname
  }
  readonly trace: ConnectionTrace | undefined
  /** The network's clock, and that of the log. */
  readonly now: () => number
  readonly wallClock: () => number
}

/** Runs a request to its end. */
export const serveRequest = (request: LiveRequest, grounds: RequestGrounds): Effect.Effect<unknown> =>
  forward(request, grounds).pipe(
    Effect.onExit((exit) => conclude(request, grounds, exit)),
    Effect.exit
  )

/** Why a request got no whole response. */
type RequestFailure = Refused | BackendFailed | BrokenOff

/** The backend broke off after the head of its response. */
interface BrokenOff {
  readonly _tag: "broken_off"
  readonly reason: string
}

const BROKEN_OFF: BrokenOff = { _tag: "broken_off", reason: "the backend broke its response off" }

const forward = Effect.fnUntraced(function* (
  request: LiveRequest,
  grounds: RequestGrounds
): Effect.fn.Return<void, RequestFailure> {
  const { exchange } = request
  trace(request, grounds)
  if (exchange.request._tag === "Refused") return yield* Effect.fail(exchange.request)
  const { head } = exchange.request
  const policy = firstMatch(grounds.host.policies, head)
  if (policy !== undefined) {
    grounds.host.counters.policyBlocked[policy.type]++
    return yield* Effect.fail<Refused>({ _tag: "Refused", status: 403, reason: policy.type })
  }
  const forwarded = withForwarded(head.fields, grounds.client, head.authority)
  const fields = request.trace === undefined ? forwarded : request.trace.passOn(forwarded)
  const asked = ask(request, grounds, { ...head, fields })
  const response = yield* Effect.catch(asked, (failed) => askAgain(request, asked, failed, REPEATS_MAX))
  if (response.body?.readable.destroyed === true) return yield* Effect.fail(BROKEN_AT_ONCE)
  if (head.isWebSocket && looksAccepted(response, exchange)) return yield* Effect.fail(NOT_UPGRADED)
  const out = Result.try(() => respond(request, response))
  if (Result.isFailure(out)) return yield* Effect.fail(NOT_SENDABLE)
  if (response.body !== undefined && out.success !== undefined) {
    yield* download(request, response.body, out.success)
  }
})

const trace = (request: LiveRequest, { trace: connection }: RequestGrounds): void => {
  if (connection?.ready !== true) return
  const { request: read } = request.exchange
  request.trace = new RequestTrace(connection, read._tag === "Request" ? read.head.fields : [])
}

/** Sends the request, its body as it comes, and waits for the head of the response. */
const ask = (request: LiveRequest, { now, pool }: RequestGrounds, head: RequestHead) =>
  Effect.suspend(() => {
    request.asked = new PendingRequest(head, {
      interim: (interim) => {
        if (request.status === undefined) request.exchange.interim(interim)
      },
      sent: (body) => upload(request, body, now)
    })
    return pool.send(request.asked)
  })

const upload = (request: LiveRequest, to: OutgoingBody | undefined, now: () => number): void => {
  const { body } = request.exchange
  if (to === undefined || body === undefined) {
    request.waitingSince = now()
    return
  }
  request.upload = new BodyCopy(body, to, (end) => {
    // A backend that takes no more is about to answer.
    if (end === "broken") request.end("gone")
    else request.waitingSince = now()
  })
}

/**
 * How often a request is sent again. One repeat is lost to the next GOAWAY of a backend that sends many, as one does that
 * takes a few requests a connection; without an end, a backend that refuses each stream would be asked for ever.
 */
export const REPEATS_MAX = 3

const askAgain = (
  request: LiveRequest,
  asked: Effect.Effect<BackendResponse, BackendFailed>,
  failed: BackendFailed,
  left: number
): Effect.Effect<BackendResponse, BackendFailed> => {
  if (left === 0 || !isRepeatable(failed, request)) return Effect.fail(failed)
  request.asked?.cancel()
  request.upload?.stop()
  return Effect.catch(asked, (again) => askAgain(request, asked, again, left - 1))
}

/**
 * A request is sent again only where the backend did nothing about it and the client's body is still whole. Time was
 * given already to one that was not reached in time.
 */
const isRepeatable = (failed: BackendFailed, { upload }: LiveRequest): boolean =>
  failed._tag === "unavailable" &&
  failed.unprocessed &&
  (upload === undefined || (upload.bytes === 0 && upload.end !== "ended"))

/** Sends the head of the response, and gives where its body goes. */
const respond = (request: LiveRequest, response: BackendResponse): OutgoingBody | undefined => {
  const { exchange } = request
  const { body, status, upgraded } = response
  const bodied = body === undefined ? "nothing" : body.length === undefined ? "body" : "sized"
  const head = status === 204 || upgraded !== undefined ? withoutLength(response) : response
  const out = exchange.respond(head, upgraded === undefined ? bodied : "websocket")
  request.status = upgraded === undefined ? status : exchange.acceptedStatus
  if (upgraded !== undefined && exchange.body !== undefined) {
    request.upload = new BodyCopy(exchange.body, upgraded, (end) => {
      if (end === "broken") request.end("gone")
    })
  }
  return out
}

/** A head with which no content can come says no length (RFC 9110 8.6, 9.3.6), and clients of HTTP/2 take offence at one. */
const withoutLength = ({ fields, status }: ResponseHead): ResponseHead => ({
  status,
  fields: withoutField(fields, "content-length")
})

/**
 * A backend of HTTP/1.1 may answer a handshake as any other request. Where every 2xx accepts a WebSocket, as it does an
 * extended CONNECT (RFC 8441 4), its client would take a page for what the WebSocket says.
 */
const looksAccepted = ({ status, upgraded }: BackendResponse, { acceptedStatus }: Exchange): boolean =>
  upgraded === undefined && acceptedStatus === 200 && status >= 200 && status < 300

const NOT_UPGRADED: BackendFailed = {
  _tag: "unavailable",
  unprocessed: false,
  reason: "the backend answered a WebSocket's handshake as any other request"
}

const NOT_SENDABLE: BackendFailed = {
  _tag: "unavailable",
  unprocessed: false,
  reason: "the head of the backend's response cannot be passed on"
}

/** It came with the head that its body is malformed or breaks off, so that the client can still be told. */
const BROKEN_AT_ONCE: BackendFailed = {
  _tag: "unavailable",
  unprocessed: false,
  reason: "the backend broke its response off with the head"
}

const download = (request: LiveRequest, from: IncomingBody, to: OutgoingBody): Effect.Effect<void, RequestFailure> =>
  Effect.callback<void, RequestFailure>((resume) => {
    const onEnd = (end: CopyEnd) => {
      if (end === "ended") resume(Effect.void)
      else if (end === "broken") resume(Effect.fail(BROKEN_OFF))
      else request.end("gone")
    }
    const copy = new BodyCopy(from, to, onEnd)
    request.download = copy
    return Effect.sync(() => copy.stop())
  })

/** The one place where a request ends, and the backend's part with it. */
const conclude = (request: LiveRequest, grounds: RequestGrounds, exit: Exit.Exit<void, RequestFailure>) =>
  Effect.suspend(() => {
    request.asked?.cancel()
    request.upload?.stop()
    const failure = Exit.isSuccess(exit) ? undefined : Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    const defect = Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? exit.cause : undefined
    if (Exit.isFailure(exit)) {
      const status = defect === undefined ? statusOf(failure, request.ending) : 502
      if (request.status !== undefined) request.exchange.abort()
      else if (status !== undefined) refuse(request, status, grounds.wallClock())
    }
    const durationMs = grounds.now() - request.startedAt
    if (request.status !== undefined) grounds.host.counters.answered(request.status, durationMs)
    writeLine(request, grounds, durationMs)
    request.trace?.end(request, defect === undefined ? failure?._tag : "internal")
    if (defect !== undefined) {
      return Effect.annotateLogs(Effect.logError("a request met a defect of the proxy", defect), {
        id: grounds.told.id
      })
    }
    if (failure === undefined) return Effect.void
    return Effect.annotateLogs(Effect.logDebug(failure._tag), { id: grounds.told.id, reason: failure.reason })
  })

/** What the client is told; `undefined`: it is not there any more. */
const statusOf = (failure: RequestFailure | undefined, ending: RequestEnd | undefined): ProxyStatus | undefined => {
  switch (failure?._tag) {
    case "Refused":
      return failure.status
    case "unavailable":
    case "broken_off":
      return 502
    case "timed_out":
      return 504
    case "unsupported":
      return 501
    case undefined:
      return ending === "timed_out" ? 504 : ending === "malformed" ? 400 : undefined
  }
}

/** Answers in the proxy's own words. */
const refuse = (request: LiveRequest, status: ProxyStatus, now: number): void => {
  const { exchange } = request
  const head = exchange.request._tag === "Request" ? exchange.request.head : undefined
  const own = proxyAnswer(status, head?.fields)
  const follows = own.body === "" || exchange.method === "HEAD" ? "nothing" : "body"
  // RFC 9110 6.6.1. Node would add it, by a clock that nobody else here goes by.
  const fields = [...own.fields, "date", new Date(now).toUTCString()]
  const out = exchange.respond({ status: own.status, fields }, follows)
  request.status = own.code
  if (out === undefined) return
  out.writable.write(own.body)
  out.end([])
}

const writeLine = (request: LiveRequest, { access, told, wallClock }: RequestGrounds, durationMs: number): void => {
  if (!access.enabled) return
  const { method, target } = request.exchange
  const query = target.indexOf("?")
  access.request({
    time: wallClock(),
    id: told.id,
    listener: told.listener,
    client: told.client,
    hostname: told.hostname,
    method,
    path: query < 0 ? target : target.slice(0, query),
    status: request.status,
    durationMs,
    bytes: request.download?.bytes ?? 0
  })
}
