/** A program whose thread gives way and starts another. Tells the niceness of each thread, and of V8's. */
import { getPriority } from "node:os"
import { parentPort, Worker, workerData } from "node:worker_threads"
import { giveWay, threadsOfV8 } from "../../src/control/ThreadPriority.ts"

const niceness = (): number => getPriority(0)

const start = (role: "gives way" | "is started"): Worker => new Worker(new URL(import.meta.url), { workerData: role })

switch (workerData) {
  case "is started":
    parentPort?.postMessage(niceness())
    break
  case "gives way":
    giveWay()
    start("is started").once("message", (child: unknown) => parentPort?.postMessage({ giving: niceness(), child }))
    break
  default:
    start("gives way").once("message", (told: unknown) =>
      console.log(JSON.stringify({ told, main: niceness(), ofV8: threadsOfV8().map((thread) => getPriority(thread)) }))
    )
}
