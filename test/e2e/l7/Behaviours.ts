/** What a backend does for a request, by its path: the behaviours of HTTP that each pair of client and backend shares. */
import type { Handler } from "../../l7/backend/World.ts"

export const BEHAVIOURS: Readonly<Record<string, Handler>> = {
  "/seen": (request, response) => {
    const authority = String(request.headers[":authority"] ?? request.headers.host)
    response.end(JSON.stringify({ ...request.headers, authority, method: request.method }))
  },
  "/echo": (request, response) => {
    response.writeHead(200, { trailer: "x-out" }).flushHeaders()
    request.pipe(response, { end: false })
    request.on("end", () => {
      response.addTrailers({ "x-out": String(request.trailers["x-in"]) })
      response.end()
    })
  },
  "/count": (request, response) => {
    let bytes = 0
    request.on("data", (chunk: Buffer) => (bytes += chunk.length))
    request.on("end", () => response.end(`${request.headers["content-length"] ?? "unknown"} ${bytes}`))
  },
  "/deaf": (request, response) => {
    request.pause()
    response.writeHead(200).write("deaf")
  },
  "/204": (_request, response) => void response.writeHead(204).end(),
  "/304": (_request, response) => void response.writeHead(304, { etag: '"x"' }).end(),
  "/404": (_request, response) => void response.writeHead(404).end("nothing"),
  "/known": (_request, response) => void response.writeHead(200, { "content-length": "5" }).end("12345"),
  "/unknown": (_request, response) => {
    response.write("12")
    setImmediate(() => response.end("345"))
  },
  "/cookies": (_request, response) => void response.writeHead(200, { "set-cookie": ["a=1", "b=2", "c=3"] }).end(),
  "/large": (request, response) => {
    response
      .writeHead(200, { "x-large": "y".repeat(30_000), "x-seen": String(request.headers["x-large"]?.length) })
      .end()
  },
  "/hints": (_request, response) => {
    response.writeEarlyHints({ link: "</a>; rel=preload" })
    response.end("done")
  },
  "/cut": (request, response) => {
    response.write("half", () => setImmediate(() => request.socket.destroy()))
  },
  "/forever": (_request, response) => void response.write("begun"),
  "/silent": () => {}
}
