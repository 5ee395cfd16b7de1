/**
 * The operator's HTTP server, on `[metrics] addr`: the metrics, whether the proxy accepts, and the live page.
 *
 * It changes nothing and asks for no password, so it belongs on an address that only operators reach. It is on the data
 * plane's thread and gives way to connections between slices of a page. Connections, headers and waiting are bounded.
 * The scope owns it; when that closes, what is under way is cut off.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, HashMap, Option, Result, type Scope, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { ServeError } from "effect/http/HttpServerError"
import { createServer, type Server } from "node:http"
import { Drain } from "../control/Drain.ts"
import { DataPlane } from "../server/DataPlane.ts"
import { parseListenAddress } from "../snapshot/Endpoint.ts"
import { CONTENT_TYPE } from "./Exposition.ts"
import { LiveView } from "./LiveView.ts"
import { Metrics } from "./Metrics.ts"

export interface MetricsServerOptions {
  /** Where it listens. */
  readonly addr: string
  /** Where the metrics are. */
  readonly path: string
}

/** It cannot listen. `message` is what is wrong with the address, and what to do. */
export interface MetricsServerError {
  readonly message: string
}

/** Listens, and serves until the scope closes; the live page where there is a `LiveView`. */
export const serve = Effect.fn("MetricsServer.serve")(function* ({
  addr,
  path
}: MetricsServerOptions): Effect.fn.Return<void, MetricsServerError, DataPlane | Drain | Metrics | Scope.Scope> {
  const { ip, port } = Result.getOrThrow(parseListenAddress(addr))
  const node = boundedServer()
  const server = yield* NodeHttpServer.make(() => node, {
    ...(ip === undefined ? { port } : { host: ip.text, port, ipv6Only: ip.family === 6 }),
    // A scrape that has begun is not worth waiting for, nor is a client that is yet to send its request.
    gracefulShutdownTimeout: 0
  }).pipe(Effect.mapError((error) => ({ message: listenProblem(addr, error) })))
  yield* server.serve(answer(path, Option.getOrUndefined(yield* Effect.serviceOption(LiveView))))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      node.close()
      node.closeAllConnections()
    })
  )
  yield* Effect.annotateLogs(Effect.logInfo("serving metrics"), { address: server.address.toString(), path })
})

/** A few collectors, and as many people who watch. All fit the reserve of descriptors. */
export const CONNECTIONS_MAX = 32

/** A request is a line and some fields. */
const HEADER_BYTES_MAX = 16 * 1024

/** How long a request may take to come. */
const REQUEST_TIMEOUT_MS = 10_000

/** How long a client may not take what it is sent; a live page takes something every second. */
const STALL_TIMEOUT_MS = 30_000

/** Longer than collectors wait between two scrapes, so that each keeps one connection. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000

const boundedServer = (): Server => {
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 2
  })
  server.maxConnections = CONNECTIONS_MAX
  server.timeout = STALL_TIMEOUT_MS
  return server
}

const answer = (metricsPath: string, live: LiveView["Service"] | undefined) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (request.method !== "GET" && request.method !== "HEAD") return NOT_ALLOWED
    const [path] = request.url.split("?", 1)
    if (path === metricsPath) return yield* metricsPage
    if (path === "/healthz") return yield* health
    return yield* live?.answer(path ?? "") ?? Effect.succeed(NOT_FOUND)
  })

const NOT_ALLOWED = HttpServerResponse.text("only GET and HEAD\n", { status: 405, headers: { allow: "GET, HEAD" } })
const NOT_FOUND = HttpServerResponse.text("nothing here\n", { status: 404 })

const metricsPage = Effect.gen(function* () {
  const slices = yield* (yield* Metrics).scrape
  const body = Stream.fromIterable(slices, { chunkSize: 1 }).pipe(
    Stream.mapEffect((slice) => Effect.as(Effect.yieldNow, slice)),
    Stream.encodeText
  )
  return HttpServerResponse.stream(body, { contentType: CONTENT_TYPE })
})

/** 200 from the first state in force until draining begins. */
const health = Effect.gen(function* () {
  const { listeners, revision } = (yield* DataPlane).state
  const draining = (yield* Drain).began
  const status = draining ? "draining" : revision === 0 ? "starting" : "accepting"
  const routes = [...listeners.values()].reduce((count, listener) => count + HashMap.size(listener.routes), 0)
  return HttpServerResponse.text(`status: ${status}\nlisteners: ${listeners.size}\nroutes: ${routes}\n`, {
    status: status === "accepting" ? 200 : 503
  })
})

const listenProblem = (addr: string, { cause }: ServeError): string => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  return `cannot listen on ${addr}: ${LISTEN_PROBLEMS[code] ?? String(cause)}`
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use; stop who uses it, or set another",
  EACCES: "no permission for this port; use one from 1024",
  EADDRNOTAVAIL: "no interface of this machine has that address"
}
