/** Backends of HTTP/1.1 and h2c that note every request's head, and answer by default with its path. */
import { Effect, type Scope } from "effect"
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createHttp2, type ServerHttp2Stream } from "node:http2"
import type { AddressInfo, Server, Socket } from "node:net"
import type { Fields } from "../../../src/l7/Message.ts"
import { Watch } from "../harness/Watch.ts"
import { formatAddress } from "../harness/Wire.ts"

export interface Seen {
  readonly path: string
  readonly fields: Fields
}

export interface HttpBackend {
  readonly address: string
  readonly protocol: "http/1.1" | "h2"
  /** Every request that has come, in its order. */
  readonly seen: Array<Seen>
  /** Waits until so many have come. */
  sawAtLeast(count: number): Effect.Effect<ReadonlyArray<Seen>>
}

export type Http1Answer = (request: IncomingMessage, response: ServerResponse) => void
export type Http2Answer = (stream: ServerHttp2Stream, path: string) => void

const PATH_OF_HTTP1: Http1Answer = (request, response) =>
  void request.resume().on("end", () => response.end(request.url))

const PATH_OF_HTTP2: Http2Answer = (stream, path) =>
  void stream.resume().on("end", () => {
    if (stream.destroyed || stream.closed) return
    stream.respond({ ":status": 200 })
    stream.end(path)
  })

export const startHttp1Backend = (
  answer: Http1Answer = PATH_OF_HTTP1
): Effect.Effect<HttpBackend, never, Scope.Scope> =>
  Effect.suspend(() => {
    const notes = new Notes()
    const server = createHttp1((request, response) => {
      request.on("error", () => {})
      notes.add({ path: request.url ?? "", fields: request.rawHeaders })
      answer(request, response)
    })
    server.maxHeadersCount = 0
    return Effect.map(listening(server), (address) => notes.backend(address, "http/1.1"))
  })

export const startHttp2Backend = (
  answer: Http2Answer = PATH_OF_HTTP2
): Effect.Effect<HttpBackend, never, Scope.Scope> =>
  Effect.suspend(() => {
    const notes = new Notes()
    const server = createHttp2({ streamResetBurst: 1_000_000, streamResetRate: 1_000_000 })
    server.on("stream", (stream: ServerHttp2Stream, headers, _flags, raw: Array<string>) => {
      stream.on("error", () => {})
      const path = String(headers[":path"])
      notes.add({ path, fields: raw })
      answer(stream, path)
    })
    return Effect.map(listening(server), (address) => notes.backend(address, "h2"))
  })

class Notes {
  readonly #seen: Array<Seen> = []
  readonly #watch = new Watch()

  add(seen: Seen): void {
    this.#seen.push(seen)
    this.#watch.notify()
  }

  backend(address: string, protocol: HttpBackend["protocol"]): HttpBackend {
    const seen = this.#seen
    const sawAtLeast = (count: number) =>
      this.#watch.until(`${count} requests at the backend`, () => (seen.length >= count ? seen : undefined))
    return { address, protocol, seen, sawAtLeast }
  }
}

const listening = (server: Server): Effect.Effect<string, never, Scope.Scope> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.once("close", () => sockets.delete(socket))
  })
  return Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const { address, port } = server.address() as AddressInfo
        resume(Effect.succeed(formatAddress(address, port)))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
}
