/**
 * What every subject is compared with: the least that an SNI router on Node's streams can do.
 *
 * It reads the name, connects, writes what it has read and pipes both ways. It refuses nothing, counts nothing, logs
 * nothing and waits for ever. It is not quite bare: the reader of the name brings the `effect` package along, and so
 * much more heap to mark costs it about a quarter of its CPU in bulk. Arguments: one `hostname=port` a route. Its port
 * is its one message.
 */
import { connect, createServer } from "node:net"
import { ClientHelloReader } from "../src/tls/ClientHello.ts"
import { followParent, tellParent } from "./Forked.ts"

/** The proxy's default. */
const HELLO_BYTES_MAX = 65536

const routes = new Map(
  process.argv.slice(2).map((route) => {
    const [hostname = "", port] = route.split("=")
    return [hostname, Number(port)] as const
  })
)

const server = createServer({ allowHalfOpen: true }, (client) => {
  const reader = new ClientHelloReader(HELLO_BYTES_MAX)
  let seen: Buffer | undefined
  const peek = (chunk: Buffer) => {
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk])
    const hello = reader.read(seen)
    if (hello._tag === "NeedMore") return
    client.off("data", peek)
    const port = hello._tag === "Hello" ? routes.get(hello.serverName) : undefined
    if (port === undefined) {
      client.destroy()
      return
    }
    const backend = connect({ host: "127.0.0.1", port, allowHalfOpen: true })
    backend.on("error", () => client.destroy())
    client.on("error", () => backend.destroy())
    backend.write(seen)
    client.pipe(backend)
    backend.pipe(client)
  }
  client.on("error", () => {})
  client.on("data", peek)
})

followParent()
server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") tellParent({ port: address.port })
})
