/**
 * A demo backend: a real TLS server, HTTP/2 and HTTP/1.1, with a certificate for its own name alone; or, behind a route
 * that terminates TLS, HTTP/2 in the clear.
 *
 * The scope owns it: closing it ends the listener, every connection and every answer under way. It is there to try a
 * proxy with, on an address that only this machine reaches.
 */
import { NodeSink, NodeStream } from "@effect/platform-node"
import { Effect, FiberSet, type Scope, Stream } from "effect"
import {
  createServer as createPlainServer,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse
} from "node:http2"
import { createServer, type Server } from "node:net"
import { TLSSocket } from "node:tls"
import { parseIpAddress } from "../net/IpAddress.ts"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import type { Identity } from "./CertificateAuthority.ts"
import type { Demo } from "./Demo.ts"
import { answer, type DemoRequest } from "./DemoAnswer.ts"
import { DemoConnections, localOf, peerOf } from "./DemoConnections.ts"
import { DevserverError } from "./DevserverError.ts"

/** Starts a demo and gives the address where it listens, in which port 0 has become a real one. */
export const startDemoBackend = Effect.fn("startDemoBackend")(function* (
  demo: Demo,
  identity: Identity,
  address: SocketAddress
): Effect.fn.Return<SocketAddress, DevserverError, Scope.Scope> {
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const connections = new DemoConnections()
  const http =
    demo.mode === "l4"
      ? createSecureServer({ cert: identity.certificate, key: identity.key, allowHTTP1: true })
      : createPlainServer()
  http.on("request", (request, response) => void run(serve(demo, connections, request, response)))
  const server = createServer((socket) => connections.add(socket, () => http.emit("connection", socket)))
  return yield* Effect.acquireRelease(listen(server, address), () => close(server, connections), {
    interruptible: true
  }).pipe(
    Effect.mapError((error) => {
      const reason = LISTEN_PROBLEMS[error.code ?? ""] ?? `${error.message}; choose another`
      return new DevserverError({
        message: `the demo backend ${demo.hostname} cannot listen on ${formatSocketAddress(address)}: ${reason}`
      })
    })
  )
})

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; stop what uses it, or choose another",
  EACCES: "no permission for this port; choose one from 1024",
  EADDRNOTAVAIL: "this machine has no such address; choose another"
}

const listen = (server: Server, { ip, port }: SocketAddress) =>
  Effect.callback<SocketAddress, NodeJS.ErrnoException>((resume) => {
    // Once it listens, an error is of a connection that was lost before it was accepted, and nothing waits for it.
    server.on("error", (error) => resume(Effect.fail(error)))
    server.listen({ host: ip.text, port }, () => {
      const bound = server.address()
      if (bound === null || typeof bound === "string") return resume(Effect.die("A TCP listener has no address."))
      resume(Effect.succeed({ ip: parseIpAddress(bound.address) ?? ip, port: bound.port }))
    })
    return Effect.sync(() => server.close())
  })

const close = (server: Server, connections: DemoConnections) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    connections.closeAll()
  })

/** Answers one request; a client that goes away in the middle is nothing to speak of. */
const serve = (
  demo: Demo,
  connections: DemoConnections,
  request: Http2ServerRequest,
  response: Http2ServerResponse
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { body, bytes, contentType, status, trailers } = answer(demo, describe(request, connections))
    response.writeHead(status, {
      "content-type": contentType,
      ...(bytes === undefined ? {} : { "content-length": bytes })
    })
    response.addTrailers(trailers)
    const sink = NodeSink.fromWritable<ClientGone, Uint8Array>({ evaluate: () => response, onError: () => CLIENT_GONE })
    return Stream.run(request.method === "HEAD" ? Stream.empty : body, sink)
  }).pipe(Effect.ignore)

const describe = (request: Http2ServerRequest, connections: DemoConnections): DemoRequest<ClientGone> => {
  const { headers, httpVersion, method, socket, url } = request
  const tls = socket instanceof TLSSocket ? socket : undefined
  const peer = peerOf(socket)
  return {
    method,
    target: url,
    httpVersion,
    contentType: headers["content-type"] ?? "",
    forwardedFor: String(headers["x-forwarded-for"] ?? ""),
    tlsVersion: tls?.getProtocol() ?? "",
    alpn: tls?.alpnProtocol || "",
    local: localOf(socket),
    peer,
    client: connections.clientOf(peer),
    body: NodeStream.fromReadable<Uint8Array, ClientGone>({
      evaluate: () => request,
      onError: () => CLIENT_GONE,
      closeOnDone: false
    })
  }
}

/** The request was cancelled, or its connection lost. */
interface ClientGone {
  readonly _tag: "ClientGone"
}
const CLIENT_GONE: ClientGone = { _tag: "ClientGone" }
