/** The backend's process: a listener a workload. Its ports are its one message. */
import { once } from "node:events"
import { createServer } from "node:net"
import { followParent, tellParent } from "./Forked.ts"
import { workloads, type Workload } from "./Workload.ts"

const listen = async ({ answer }: Workload): Promise<number> => {
  const server = createServer({ noDelay: true }, (socket) => {
    // The client counts what arrives; a subject that resets shows there.
    socket.on("error", () => {})
    answer(socket)
  })
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 })
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("a TCP listener has no address")
  return address.port
}

followParent()
const routes = await Promise.all(
  workloads.map(async (workload) => [workload.hostname, await listen(workload)] as const)
)
tellParent({ routes: Object.fromEntries(routes) })
