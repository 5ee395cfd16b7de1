/** A backend of HTTP/2 in the clear: the same short answer to every request. Its port is its one message. */
import { createServer, type ServerHttp2Stream } from "node:http2"
import { followParent, tellParent } from "./Forked.ts"

const ANSWER = Buffer.alloc(1024, "a")
const FIELDS = { ":status": 200, "content-type": "text/plain", "content-length": String(ANSWER.length) }

const server = createServer()
server.on("stream", (stream: ServerHttp2Stream) => {
  stream.on("error", () => {})
  stream.respond(FIELDS)
  stream.end(ANSWER)
})

followParent()
server.listen({ host: "127.0.0.1", port: 0 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") tellParent({ port: address.port })
})
