import { assert, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Result, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as McProxy from "../../src/index.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { SimNetwork } from "../../src/net/sim/SimNetwork.ts"
import type { Received, SimPeer } from "../../src/net/sim/SimPeer.ts"
import { hello } from "../pipeline/World.ts"
import { l4 } from "../store/RandomState.ts"
import { type ClientScript, HOSTNAMES, type MutationScript, scenario, type Scenario } from "./Scenario.ts"
import { BACKEND, diskOf, layerNetwork, layerProxy, LISTENER, PROXY, ROUTE } from "./SimulatedProxy.ts"

/** What the clients can be decided by. */
interface Known {
  readonly blocked: ReadonlySet<string>
  readonly routed: ReadonlySet<string>
}

/** A mutation was asked for and answered in that time; `after` is what may hold then. */
interface Period {
  readonly fromMs: number
  readonly toMs: number
  readonly after: ReadonlyArray<Known>
}

interface Told {
  readonly script: ClientScript
  readonly fromMs: number
  readonly toMs: number
  /** `ip:port`, as the access log has it; `undefined`: it did not connect. */
  readonly address: string | undefined
  readonly sent: Uint8Array
  readonly received: Received | undefined
}

const changeOf = (script: MutationScript): McProxy.Change => {
  switch (script.op) {
    case "block":
      return [{ _tag: "PutRules", rules: [{ type: "ip", value: script.ip }] }]
    case "unblock":
      return [{ _tag: "RemoveRules", rules: [{ type: "ip", value: script.ip }] }]
    case "route":
      return [{ _tag: "PutRoute", listener: LISTENER, route: l4(script.hostname, ROUTE.backend) }]
    case "unroute":
      return [{ _tag: "RemoveRoute", listener: LISTENER, hostname: l4(script.hostname).hostname }]
  }
}

const knownAfter = (before: Known, script: MutationScript): Known => {
  const [blocked, routed] = [new Set(before.blocked), new Set(before.routed)]
  if (script.op === "block") blocked.add(script.ip)
  if (script.op === "unblock") blocked.delete(script.ip)
  if (script.op === "route") routed.add(script.hostname)
  if (script.op === "unroute") routed.delete(script.hostname)
  return { blocked, routed }
}

const bytesOf = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (first + i * 7) & 255)

/** Each client's payload begins with its number, by which the backend knows what to answer. */
const payloadOf = ({ sends }: ClientScript, i: number) => Buffer.concat([Uint8Array.of(i), bytesOf(sends, i)])
const answerOf = ({ receives }: ClientScript, i: number) => bytesOf(receives, i + 100)

const asConnected = ({ ip }: ClientScript) => ({ ip: parseIpAddress(ip)!, port: 0 })

const runClient = Effect.fnUntraced(function* (
  script: ClientScript,
  i: number
): Effect.fn.Return<Told, never, SimNetwork> {
  const network = yield* SimNetwork
  yield* Effect.sleep(script.atMs)
  const fromMs = yield* Clock.currentTimeMillis
  const sent = Buffer.concat([hello(script.hostname), payloadOf(script, i)])
  const played = yield* Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* network.connect(PROXY, { from: asConnected(script) })
      const sending = Effect.ignore(Effect.andThen(peer.write(sent), peer.finish))
      const leaving =
        script.leaves === "reset"
          ? Effect.andThen(
              Effect.sleep(30),
              Effect.sync(() => peer.reset())
            )
          : Effect.void
      const [, , received] = yield* Effect.all([sending, leaving, peer.readAll], { concurrency: "unbounded" })
      return { address: `${peer.local.ip.text}:${peer.local.port}`, received }
    })
  ).pipe(Effect.option)
  const toMs = yield* Clock.currentTimeMillis
  const { address, received } = played._tag === "Some" ? played.value : { address: undefined, received: undefined }
  return { script, fromMs, toMs, address, sent, received }
})

/** Takes every connection, reads it to the end, and answers as the client's script has it. */
const runBackend = Effect.fnUntraced(function* (
  clients: ReadonlyArray<ClientScript>,
  reached: Map<number, Uint8Array>
) {
  const network = yield* SimNetwork
  const backend = yield* network.listenBackend(BACKEND)
  const serve = Effect.fnUntraced(function* (peer: SimPeer) {
    const start = yield* peer.read(HELLO_BYTES + 1)
    const i = start[HELLO_BYTES]
    if (i === undefined) return
    reached.set(i, start)
    const answering = Effect.ignore(Effect.andThen(peer.write(answerOf(clients[i]!, i)), peer.finish))
    const [{ bytes }] = yield* Effect.all([peer.readAll, answering], { concurrency: "unbounded" })
    reached.set(i, Buffer.concat([start, bytes]))
  })
  const acceptNext = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const peer = yield* backend.accept.pipe(Scope.provide(scope))
    yield* Effect.forkScoped(Effect.ensuring(serve(peer), Scope.close(scope, Exit.void)))
  })
  yield* Effect.forkScoped(Effect.forever(acceptNext))
})

/** All names are as long. */
const HELLO_BYTES = hello(HOSTNAMES[0]).length

/** Asks for one mutation after the other, and tells what may hold from when to when. */
const runMutations = Effect.fnUntraced(function* (scripts: ReadonlyArray<MutationScript>) {
  const control = yield* McProxy.ControlPlane
  const periods: Array<Period> = [{ fromMs: 0, toMs: 0, after: [AT_START] }]
  for (const script of scripts) {
    const { after: before } = periods.at(-1)!
    yield* Effect.sleep(script.atMs)
    const fromMs = yield* Clock.currentTimeMillis
    const exit = yield* Effect.exit(
      control.mutate(() => Result.succeed({ change: changeOf(script), answer: undefined }))
    )
    const done = before.map((known) => knownAfter(known, script))
    const unknown = Exit.isFailure(exit) && String(exit.cause).includes("is not known")
    const after = Exit.isSuccess(exit) ? done : unknown ? [...before, ...done] : before
    periods.push({ fromMs, toMs: yield* Clock.currentTimeMillis, after })
  }
  return periods
})

const AT_START: Known = { blocked: new Set(), routed: new Set([ROUTE.hostname]) }

/** Whatever may have held at any moment of a client's life. */
const knownDuring = (periods: ReadonlyArray<Period>, { fromMs, toMs }: Told): ReadonlyArray<Known> =>
  periods.flatMap(({ after }, i) => {
    const begins = periods[i]!.fromMs
    const ends = periods[i + 1]?.toMs ?? Infinity
    return begins <= toMs && fromMs <= ends ? after : []
  })

const outcomesUnder = ({ hostname, ip, leaves }: ClientScript, { blocked, routed }: Known): ReadonlyArray<string> => {
  if (blocked.has(ip)) return ["blocked_ip"]
  const early = leaves === "reset" ? ["reset"] : []
  return routed.has(hostname) ? ["done", ...early] : ["no_route", ...early]
}

const checkClient = (told: Told, i: number, entries: ReadonlyArray<McProxy.ConnectionEntry>, run: Run): void => {
  const { address, received, script, sent } = told
  const own = entries.filter(({ peer }) => peer === address)
  assert.lengthOf(own, 1, "a connection has one outcome")
  const { outcome } = own[0]!
  const possible = knownDuring(run.periods, told)
  assert.include(
    possible.flatMap((known) => outcomesUnder(script, known)),
    outcome
  )
  const atBackend = run.reached.get(i)
  if (possible.every((known) => !outcomesUnder(script, known).includes("done"))) assert.isUndefined(atBackend)
  if (outcome === "done" && script.leaves === "finish") {
    assert.deepStrictEqual(Buffer.from(atBackend!), Buffer.from(sent))
    assert.deepStrictEqual(Buffer.from(received!.bytes), Buffer.from(answerOf(script, i)))
    assert.strictEqual(received!.end, "FIN")
  }
  // What did arrive is a part of what was sent, in its order.
  if (atBackend !== undefined) assert.isTrue(Buffer.from(sent).subarray(0, atBackend.length).equals(atBackend))
}

interface Run {
  readonly periods: ReadonlyArray<Period>
  readonly reached: ReadonlyMap<number, Uint8Array>
}

/** Runs a scenario to its end, in no real time, and checks everything about it. */
const play = Effect.fnUntraced(function* (drawn: Scenario) {
  const disk = diskOf(drawn)
  const entries: Array<McProxy.ConnectionEntry> = []
  const reached = new Map<number, Uint8Array>()
  const network = yield* SimNetwork
  const living = Effect.gen(function* () {
    yield* runBackend(drawn.clients, reached)
    const mutating = yield* Effect.forkChild(runMutations(drawn.mutations))
    const told = yield* Effect.forEach(drawn.clients, runClient, { concurrency: "unbounded" })
    const periods = yield* Fiber.join(mutating)
    const control = yield* McProxy.ControlPlane
    const plane = yield* McProxy.DataPlane
    const connections = yield* McProxy.Connections
    yield* plane.stopAccepting
    yield* connections.awaitNone
    for (const [i, one] of told.entries()) checkClient(one, i, entries, { periods, reached })
    assert.lengthOf(entries, told.length)
    const { revision, ...stored } = disk.stored
    const known = control.current
    if (known.revision === revision) assert.deepStrictEqual(known.state.toState(), stored)
    assert.include(
      periods.at(-1)!.after.map(({ blocked }) => [...blocked].toSorted().join()),
      stored.firewallRules
        .map(({ value }) => value)
        .toSorted()
        .join()
    )
  })
  yield* Effect.scoped(Effect.provide(living, layerProxy(disk, entries)))
  assert.strictEqual(network.openSockets(), 0)
})

/** Time passes whenever everybody waits for it. */
const inSimulatedTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const running = yield* Effect.forkChild(effect)
    for (let ms = 0; running.pollUnsafe() === undefined; ms++) {
      assert.isBelow(ms, SIMULATED_MS_MAX, "the scenario does not end")
      yield* TestClock.adjust(1)
    }
    return yield* Fiber.join(running)
  })

/** Every wait of the proxy's is shorter than this. */
const SIMULATED_MS_MAX = 300_000

it.effect("keeps its promises to every client, under any mutations and any failures of its disk", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(scenario, (drawn) =>
        inSimulatedTime(Effect.provide(play(drawn), layerNetwork(drawn))).pipe(
          Effect.provide(TestClock.layer()),
          Effect.scoped,
          Effect.runPromise
        )
      ),
      { numRuns: 100 }
    )
  )
)
