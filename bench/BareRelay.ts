/**
 * What every subject is compared with: the least that an SNI router on Node's streams can do.
 *
 * It reads the name, connects, writes what it has read and pipes both ways. It refuses nothing, counts nothing, logs
 * nothing, waits for ever, and reads no hello that a real client does not send; it loads nothing of the proxy, whose
 * heap alone would cost it CPU. Arguments: one `hostname=port` a route. Its port is its one message.
 */
import { connect, createServer } from "node:net"
import { followParent, tellParent } from "./Forked.ts"

const routes = new Map(
  process.argv.slice(2).map((route) => {
    const [hostname = "", port] = route.split("=")
    return [hostname, Number(port)] as const
  })
)

/** The name in a whole ClientHello of one record. */
const serverNameOf = (hello: Buffer): string | undefined => {
  let at = 5 + 4 + 2 + 32
  at += 1 + hello[at]!
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello[at]!
  const end = at + 2 + hello.readUInt16BE(at)
  for (at += 2; at < end; at += 4 + hello.readUInt16BE(at + 2)) {
    if (hello.readUInt16BE(at) === 0) return hello.toString("latin1", at + 9, at + 9 + hello.readUInt16BE(at + 7))
  }
  return undefined
}

const server = createServer({ allowHalfOpen: true }, (client) => {
  let seen: Buffer | undefined
  const peek = (chunk: Buffer) => {
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk])
    if (seen.length < 5 || seen.length < 5 + seen.readUInt16BE(3)) return
    client.off("data", peek)
    const port = routes.get(serverNameOf(seen) ?? "")
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
