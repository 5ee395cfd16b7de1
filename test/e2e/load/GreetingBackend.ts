/**
 * A program: a backend on 127.0.0.1 that greets each connection with a byte and finishes when the other side does.
 * Prints its `ip:port`.
 */
import { createServer } from "node:net"

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy())
  socket.resume()
  socket.write("!")
})

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  if (address !== null && typeof address !== "string") console.log(`${address.address}:${address.port}`)
})
