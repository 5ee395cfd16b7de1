/**
 * What requests on L7 are compared with: the least that a proxy on Node's `http2` can do.
 *
 * It ends TLS, passes each stream's fields and bodies on to one connection to the backend, and knows no limit, no
 * deadline, no rule and no log. Arguments: the backend's port, and the files of certificate and key. Its port is its one
 * message.
 */
import { readFileSync } from "node:fs"
import { connect, createSecureServer, type ServerHttp2Stream } from "node:http2"
import { followParent, tellParent } from "./Forked.ts"

const [backend = "", cert = "", key = ""] = process.argv.slice(2)
const session = connect(`http://127.0.0.1:${backend}`)
const server = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) })

server.on("stream", (stream: ServerHttp2Stream, _headers, flags, raw) => {
  const hasBody = (flags & 1) === 0
  const request = session.request(raw, { endStream: !hasBody })
  request.on("error", () => stream.destroy())
  stream.on("error", () => request.destroy())
  request.on("response", (_head, _flags, fields) => {
    stream.respond(fields)
    request.pipe(stream)
  })
  if (hasBody) stream.pipe(request)
})

followParent()
server.listen({ host: "127.0.0.1", port: 0 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") tellParent({ port: address.port })
})
