/**
 * Backends of every kind in a test's hand, on Node's own servers, and the pools that reach them.
 *
 * The scope closes the servers with everything that is open on them.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import type { Scope } from "effect"
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http"
import {
  createSecureServer as createHttp2Secure,
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse
} from "node:http2"
import { createServer as createHttp1Secure } from "node:https"
import type { Server, Socket } from "node:net"
import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CertificateAuthority } from "../../../src/devserver/CertificateAuthority.ts"
import {
  Backends,
  type BackendFailed,
  type BackendPool,
  type BackendResponse,
  type ClientOfPool
} from "../../../src/l7/backend/Backends.ts"
import { PendingRequest } from "../../../src/l7/backend/PendingRequest.ts"
import type { Fields, OutgoingBody, RequestHead, ResponseHead } from "../../../src/l7/Message.ts"
import { VirtualHost } from "../../../src/l7/VirtualHost.ts"
import { DescriptorBudget } from "../../../src/net/DescriptorBudget.ts"
import { Dialer } from "../../../src/net/Dialer.ts"
import { parseIpAddress } from "../../../src/net/IpAddress.ts"
import type { Network } from "../../../src/net/Network.ts"
import { layer as nodeNetwork } from "../../../src/net/node/NodeNetwork.ts"
import { DialHistogram } from "../../../src/observe/Counters.ts"
import { RequestCounters } from "../../../src/observe/RequestCounters.ts"
import { Settings } from "../../../src/pipeline/Settings.ts"
import { Alarm } from "../../../src/routing/Alarm.ts"
import type { CompiledL7Route } from "../../../src/routing/RouteTable.ts"
import { parseHostname, type Hostname } from "../../../src/snapshot/Hostname.ts"
import type { L7Route } from "../../../src/snapshot/Snapshot.ts"

const CONNECT_TIMEOUT_MS = 2_000

type World = Backends | DescriptorBudget | Network

const layerWorld = (connectTimeoutMs: number): Layer.Layer<World> =>
  Backends.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(Dialer.layer.pipe(Layer.provideMerge(nodeNetwork)), DescriptorBudget.layer(5000))
    ),
    Layer.provide(NodeFileSystem.layer),
    Layer.provide(
      Layer.succeed(Settings, {
        helloTimeoutMs: 10_000,
        helloBytesMax: 65_536,
        connectTimeoutMs,
        idleTimeoutMs: 60_000,
        halfCloseTimeoutMs: 30_000
      } as Settings["Service"])
    )
  )

/** A test with the pools, whose scope is the test's. */
export const live = <A, E>(
  name: string,
  body: Effect.Effect<A, E, Scope.Scope | World>,
  connectTimeoutMs = CONNECT_TIMEOUT_MS
) => it.live(name, () => body.pipe(Effect.scoped, Effect.provide(layerWorld(connectTimeoutMs)), Effect.timeout(15_000)))

export interface Kind {
  readonly name: string
  readonly protocol: "h2" | "http/1.1"
  readonly tls: boolean
}

export const KINDS: ReadonlyArray<Kind> = [
  { name: "HTTP/1.1", protocol: "http/1.1", tls: false },
  { name: "HTTP/1.1 over TLS", protocol: "http/1.1", tls: true },
  { name: "h2c", protocol: "h2", tls: false },
  { name: "h2 over TLS", protocol: "h2", tls: true }
]

export type Request = IncomingMessage | Http2ServerRequest
export type Response = (ServerResponse<IncomingMessage> & { req: IncomingMessage }) | Http2ServerResponse
export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface RunningBackend {
  readonly port: number
  readonly server: Server
  /** Connections that are open now. */
  readonly sockets: ReadonlySet<Socket>
  /** Connections that there have been. */
  readonly accepted: () => number
}

export const NAME: Hostname = (() => {
  const parsed = parseHostname("backend.test")
  assert(parsed._tag === "Success")
  return parsed.success
})()

const identities = Effect.runSync(
  Effect.cached(
    Effect.promise(async () => {
      const validity = { from: new Date(Date.now() - 60_000), to: new Date(Date.now() + 86_400_000) }
      const authority = await CertificateAuthority.make("mc-proxy test", validity)
      const ca = join(tmpdir(), `mc-proxy-backend-ca-${process.pid}.pem`)
      writeFileSync(ca, authority.certificate)
      const { certificate, key } = await authority.issue(NAME)
      return { ca, certificate, key }
    })
  )
)

/** The file with the authority that vouches for the backends. */
export const backendCa: Effect.Effect<string> = Effect.map(identities, ({ ca }) => ca)

/** A server of that kind. What speaks HTTP/2 is Node's server with the API of HTTP/1.1. */
export const startBackend = Effect.fnUntraced(function* (
  { protocol, tls }: Kind,
  handler: Handler,
  adjust: (server: Server) => void = () => {},
  takesWebSockets: boolean = true
): Effect.fn.Return<RunningBackend, never, Scope.Scope> {
  const { certificate, key } = yield* identities
  const identity = { cert: certificate, key }
  // Longer heads than ours are to be met with.
  const settings = { settings: { enableConnectProtocol: takesWebSockets }, maxSendHeaderBlockLength: 1024 * 1024 }
  const server =
    protocol === "h2"
      ? tls
        ? createHttp2Secure({ ...identity, ...settings })
        : createHttp2(settings)
      : tls
        ? createHttp1Secure(identity)
        : createHttp1()
  server.on("request", handler)
  adjust(server)
  return yield* listenOn(server)
})

export const listenOn = Effect.fnUntraced(function* (
  server: Server
): Effect.fn.Return<RunningBackend, never, Scope.Scope> {
  const sockets = new Set<Socket>()
  let accepted = 0
  server.on("connection", (socket: Socket) => {
    accepted++
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        assert(address !== null && typeof address === "object")
        resume(Effect.succeed(address.port))
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  return { port, server, sockets, accepted: () => accepted }
})

const ip = (text: string) => {
  const parsed = parseIpAddress(text)
  assert(parsed !== undefined)
  return parsed
}

/** A route to it, each a new one. */
export const routeTo = Effect.fnUntraced(function* (
  port: number,
  { protocol, tls }: Kind,
  options: Partial<L7Route> = {}
) {
  const { ca } = yield* identities
  const route: L7Route = {
    mode: "l7",
    hostname: NAME,
    backend: `127.0.0.1:${port}`,
    sendProxyProtocol: false,
    tlsCert: "",
    tlsKey: "",
    backendProtocol: protocol,
    backendTls: tls,
    backendCa: tls ? ca : "",
    backendServerName: tls ? NAME : "",
    l7Policies: [],
    ...options
  }
  return {
    route,
    backend: { host: ip("127.0.0.1"), port },
    dials: new DialHistogram(),
    backendAlarm: new Alarm(),
    host: new VirtualHost([], new RequestCounters()),
    certificate: { certPath: "", keyPath: "", context: undefined, notAfter: undefined, problem: undefined }
  } satisfies CompiledL7Route
})

export const CLIENT: Omit<ClientOfPool, "place"> = {
  id: "c-1",
  client: { ip: ip("192.0.2.7"), port: 50_000 },
  destination: { ip: ip("192.0.2.1"), port: 443 }
}

/** The pool of one client connection, whose place in the budget goes with the scope. */
export const poolTo = Effect.fnUntraced(function* (route: CompiledL7Route) {
  const budget = yield* DescriptorBudget
  const backends = yield* Backends
  const place = budget.take()
  assert(place !== undefined)
  yield* Effect.addFinalizer(() => Effect.sync(() => place.release()))
  return yield* backends.pool(route, { ...CLIENT, place })
})

export const head = (given: Partial<RequestHead> = {}): RequestHead => ({
  method: "GET",
  authority: NAME,
  path: "/",
  fields: [],
  isWebSocket: false,
  hasBody: false,
  contentLength: undefined,
  ...given
})

export interface Answer {
  readonly status: number
  readonly fields: Fields
  readonly interim: ReadonlyArray<ResponseHead>
  /** `undefined`: there is none. */
  readonly body: Buffer | undefined
  /** Whether the body ended as it should. */
  readonly isWhole: boolean
  readonly trailers: Fields
}

/** A request that a connection has. */
export interface Sent {
  /** `undefined` when the head says that there is none. */
  readonly body: OutgoingBody | undefined
  readonly response: Effect.Effect<BackendResponse, BackendFailed>
}

/** Sends the head of a request, which the scope cancels. */
export const send = (
  pool: BackendPool,
  request: RequestHead,
  interim: (head: ResponseHead) => void = () => {}
): Effect.Effect<Sent, BackendFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const taken = Deferred.makeUnsafe<OutgoingBody | undefined>()
    const sent = (body: OutgoingBody | undefined) => void Deferred.doneUnsafe(taken, Effect.succeed(body))
    const pending = new PendingRequest(request, { interim, sent })
    yield* Effect.addFinalizer(() => Effect.sync(() => pending.cancel()))
    const answer = yield* Effect.forkScoped(pool.send(pending), { startImmediately: true })
    const response = Fiber.join(answer)
    const body = yield* Effect.raceFirst(Deferred.await(taken), Effect.andThen(response, Effect.never))
    return { body, response }
  })

/** Sends a request with its body, and takes the whole answer. */
export const ask = (
  pool: BackendPool,
  request: RequestHead = head(),
  body: Buffer = Buffer.alloc(0),
  trailers: Fields = []
): Effect.Effect<Answer, BackendFailed> =>
  Effect.gen(function* () {
    const interim: Array<ResponseHead> = []
    const sent = yield* send(pool, request, (head) => interim.push(head))
    if (sent.body !== undefined) {
      sent.body.writable.on("error", () => {}).write(body)
      sent.body.end(trailers)
    }
    const response = yield* sent.response
    const taken = response.body === undefined ? undefined : yield* takeAll(response.body.readable)
    // Node frees a connection of HTTP/1.1 behind the end of what came on it.
    yield* turn
    return {
      status: response.status,
      fields: response.fields,
      interim,
      body: taken?.bytes,
      isWhole: taken?.isWhole ?? true,
      trailers: response.body?.trailers() ?? []
    }
  }).pipe(Effect.scoped)

/** One turn of the event loop. */
export const turn: Effect.Effect<void> = Effect.callback((resume) => void setImmediate(() => resume(Effect.void)))

/** Takes a stream to its end, whichever that is. */
export const takeAll = (readable: NodeJS.ReadableStream & { readonly destroyed: boolean }) =>
  Effect.callback<{ readonly bytes: Buffer; readonly isWhole: boolean }>((resume) => {
    const chunks: Array<Buffer> = []
    const finish = (isWhole: boolean) => () => resume(Effect.succeed({ bytes: Buffer.concat(chunks), isWhole }))
    readable
      .on("data", (chunk: Buffer) => chunks.push(chunk))
      .on("end", finish(true))
      .on("close", finish(false))
    if (readable.destroyed) finish(false)()
  })

/** Waits until what another side brings about holds. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let stopped = false
    const look = () => {
      if (stopped) return
      if (condition()) resume(Effect.void)
      else setImmediate(look)
    }
    look()
    return Effect.sync(() => {
      stopped = true
    })
  })
