import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { openFilesMax } from "../../../src/net/node/OpenFiles.ts"
import { type Program, startProgram } from "../harness/Program.ts"
import { type Proxy, startProxy } from "../harness/Proxy.ts"
import { visit } from "./MixedLoad.ts"
import { awaitDescriptors, descriptorsOf, residentBytesOf, settledDescriptorsOf } from "./ProcessState.ts"
import { startTransferBackend, TRANSFER_NAME } from "./Transfer.ts"

const CONNECTIONS_WANTED = 10_000

/**
 * Half of them relayed, half with half a hello: three of the proxy's sockets for two. It keeps to itself 64 descriptors
 * and, for backends, 256 or an eighth.
 */
const CONNECTIONS_MAX = 2 * Math.floor((openFilesMax() * (7 / 8) - 320) / 3)

/** With fewer this would say nothing. */
const CONNECTIONS_MIN = 250

const CONNECTIONS = Math.min(CONNECTIONS_WANTED, CONNECTIONS_MAX)

/** Twice what each takes, and less than the two buffers of 16 KiB that many a proxy has for each; and some for V8. */
const GROWTH_BYTES_MAX = CONNECTIONS * 24 * 1024 + 16 * 1024 * 1024

const IDLE_NAME = "idle.test"

it.live(
  `holds ${CONNECTIONS} idle connections, serves others meanwhile, and lets go of all`,
  () =>
    Effect.gen(function* () {
      assert.isAtLeast(CONNECTIONS, CONNECTIONS_MIN, `a limit of ${openFilesMax()} open files is too low`)
      if (CONNECTIONS < CONNECTIONS_WANTED) {
        console.warn(`no more than ${CONNECTIONS} connections, for a process may have ${openFilesMax()} open files`)
      }
      const greeting = yield* startBeside("GreetingBackend.ts")
      const transfers = yield* startTransferBackend
      const routes = [
        { hostname: IDLE_NAME, backend: yield* firstLine(greeting) },
        { hostname: TRANSFER_NAME, backend: transfers.address }
      ]
      const proxy = yield* startProxy({ listeners: [{ routes }], proxy: { hello_timeout: "2m" } })
      const { pid } = proxy.program

      yield* serveOthers(proxy, 0)
      const before = { descriptors: yield* settledDescriptorsOf(pid), bytes: residentBytesOf(pid) }
      const half = String(CONNECTIONS / 2)
      const idle = yield* startBeside("IdleClients.ts", proxy.address, IDLE_NAME, half, half)
      assert.strictEqual(yield* firstLine(idle), "open")
      yield* serveOthers(proxy, OTHERS)
      assert.strictEqual(descriptorsOf(pid), before.descriptors + 1.5 * CONNECTIONS)
      const growth = residentBytesOf(pid) - before.bytes
      const kibEach = (growth / CONNECTIONS / 1024).toFixed(1)
      console.info(`${kibEach} KiB of memory for each of ${CONNECTIONS} idle connections`)
      assert.isAtMost(growth, GROWTH_BYTES_MAX)

      idle.signal("SIGKILL")
      yield* proxy.access(() => proxy.accessLines.length === CONNECTIONS + 2 * OTHERS)
      const outcomes = Map.groupBy(proxy.accessLines, ({ outcome }) => outcome)
      assert.strictEqual(outcomes.get("client_closed")?.length, CONNECTIONS / 2)
      assert.strictEqual(outcomes.get("done")?.length, CONNECTIONS / 2 + 2 * OTHERS)
      yield* awaitDescriptors(pid, before.descriptors)
      yield* serveOthers(proxy, 2 * OTHERS)
    }),
  60_000
)

const OTHERS = 5

/** A few clients, one after the other, of whom nothing is left. Their ids begin at `from`. */
const serveOthers = Effect.fnUntraced(function* (proxy: Proxy, from: number) {
  for (let id = from; id < from + OTHERS; id++) {
    for (const visited of yield* visit(proxy.address, "finishesFirst", id)) yield* proxy.accessOf(visited)
  }
})

/** Starts a program that lies beside this file. */
const startBeside = (file: string, ...args: ReadonlyArray<string>) =>
  startProgram(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args])

const firstLine = (program: Program) => program.watch.until("its first line", () => /^(.*)\n/.exec(program.stdout)?.[1])
