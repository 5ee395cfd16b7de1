import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Drain } from "../../src/control/Drain.ts"
import { GeoIpError } from "../../src/firewall/GeoIp.ts"
import { run } from "../../src/server/Server.ts"
import { Signals } from "../../src/server/Signals.ts"
import type { Listener } from "../../src/snapshot/Snapshot.ts"
import { SimRuntime } from "../../src/testing/SimRuntime.ts"
import { FakeConnection } from "../pipeline/FakeConnection.ts"
import { BACKEND, LOCAL, hello, type WorldOptions } from "../pipeline/World.ts"
import { address } from "../proxyproto/ProxyHeaders.ts"
import { connect, listenerAt, makePlane, outcomesOf } from "./Plane.ts"

const HELLO = hello("git.example.net")

interface Start extends WorldOptions {
  readonly listeners?: ReadonlyArray<Listener>
}

/** A proxy that runs on a state in force, and whose signals the test gives. */
const start = Effect.fnUntraced(function* ({ listeners = [listenerAt(":443")], ...options }: Start = {}) {
  const stop = yield* Queue.unbounded<"SIGINT" | "SIGTERM">()
  const reload = yield* Queue.unbounded<"SIGHUP">()
  const defect = yield* Deferred.make<never>()
  const controlEnded = yield* Deferred.make<never>()
  const drain = Context.get(yield* Layer.build(Layer.fresh(Drain.layer)), Drain)
  const made = yield* makePlane(options)
  yield* made.publish({ listeners, firewallRules: [{ type: "ip", value: "192.0.2.66" }] })
  const ready: Array<ReadonlyArray<string>> = []
  const onReady = (bound: ReadonlyMap<string, unknown>) => Effect.sync(() => void ready.push([...bound.keys()]))
  const running = yield* run({ shutdownTimeoutMs: 30_000, onReady, controlEnded: Deferred.await(controlEnded) }).pipe(
    Effect.provideService(Signals, { stop, reload, defect: Deferred.await(defect) }),
    Effect.provideService(Drain, drain),
    Effect.provide(made.services),
    Effect.forkChild({ startImmediately: true })
  )
  return { ...made, stop, reload, defect, controlEnded, drain, running, ready }
})

/** What the lines say, without their times; of those after the start alone. */
const said = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.map((line) => line.replace(/^\S+ +(\S+) +/, "$1 "))
const saidSince = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  said(lines).slice(said(lines).findIndex((line) => line.startsWith("INFO ready")) + 1)

describe("the start", () => {
  it.effect("says where it listens and what it has to serve, and then is ready", () =>
    Effect.gen(function* () {
      const { lines, network, ready } = yield* start({
        listeners: [listenerAt(":443"), listenerAt("127.0.0.1:8443")],
        socketsMax: 960
      })
      assert.deepStrictEqual(said(lines), [
        "INFO listening listener=:443 address=[::]:443",
        "INFO listening listener=127.0.0.1:8443 address=127.0.0.1:8443",
        "INFO ready routes=2 rules=1 sockets_max=960"
      ])
      assert.strictEqual(network.listening.size, 2)
      assert.deepStrictEqual(ready, [[":443", "127.0.0.1:8443"]])
    })
  )

  it.effect("puts the rules in force", () =>
    Effect.gen(function* () {
      const { entries, network } = yield* start()
      connect(network, ":443", HELLO, address("192.0.2.66", 1))
      assert.deepStrictEqual(outcomesOf(entries), ["blocked_ip"])
    })
  )

  it.effect("warns when there is no route", () =>
    Effect.gen(function* () {
      const { lines } = yield* start({ listeners: [listenerAt(":443", { routes: [] })] })
      assert.deepStrictEqual(said(lines).slice(1), [
        "WARN no routes: every connection will be refused as no_route",
        "INFO ready routes=0 rules=1 sockets_max=12"
      ])
    })
  )
})

describe("the drain", () => {
  it.effect("is over at once when there is no connection", () =>
    Effect.gen(function* () {
      const { lines, network, running, stop } = yield* start()
      yield* Queue.offer(stop, "SIGTERM")
      yield* Fiber.join(running)
      assert.strictEqual(network.listening.size, 0)
      assert.deepStrictEqual(saidSince(lines), ["INFO draining signal=SIGTERM connections=0", "INFO stopped reset=0"])
    })
  )

  it.effect("lets connections go on through the pipeline, and is over with the last of them", () =>
    Effect.gen(function* () {
      const { drain, entries, lines, network, running, stop } = yield* start()
      assert.isFalse(drain.began)
      const young = connect(network, ":443")
      const old = connect(network, ":443", HELLO)
      yield* Queue.offer(stop, "SIGINT")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.listening.size, 0)
      assert.isTrue(drain.began)
      old.fail()
      young.send(HELLO)
      const backend = new FakeConnection(network, BACKEND, LOCAL)
      network.dials[1]!.answer(Effect.succeed(backend))
      yield* TestClock.adjust("28 seconds")
      assert.isUndefined(running.pollUnsafe())
      network.relays[0]!.end(Effect.succeed("done"))
      yield* Fiber.join(running)
      assert.deepStrictEqual(outcomesOf(entries), ["reset", "done"])
      assert.deepStrictEqual(saidSince(lines), ["INFO draining signal=SIGINT connections=2", "INFO stopped reset=0"])
    })
  )

  it.effect("ends as shutdown what is left at the deadline", () =>
    Effect.gen(function* () {
      const { entries, lines, network, running, stop } = yield* start()
      const relayed = connect(network, ":443", HELLO)
      const backend = new FakeConnection(network, BACKEND, LOCAL)
      network.dials[0]!.answer(Effect.succeed(backend))
      yield* Queue.offer(stop, "SIGTERM")
      yield* TestClock.adjust(29_999)
      assert.isUndefined(running.pollUnsafe())
      assert.deepStrictEqual([relayed.end, backend.end], ["open", "open"])
      yield* TestClock.adjust(1)
      yield* Fiber.join(running)
      assert.deepStrictEqual([relayed.end, backend.end], ["reset", "reset"])
      assert.deepStrictEqual(outcomesOf(entries), ["shutdown"])
      assert.deepStrictEqual(saidSince(lines), ["INFO draining signal=SIGTERM connections=1", "INFO stopped reset=1"])
    })
  )

  it("is over by the deadline, whatever its connections do", () => {
    const client = fc.record({
      gets: fc.constantFrom("nowhere", "to its dial", "to its relay"),
      leavesAfterMs: fc.option(fc.nat({ max: 40_000 }), { nil: undefined })
    })
    fc.assert(
      fc.property(fc.array(client, { maxLength: 4 }), fc.nat({ max: 20_000 }), (clients, signalAtMs) => {
        const runtime = new SimRuntime({ seed: 0 })
        const program = Effect.gen(function* () {
          const { entries, network, running, stop } = yield* start()
          const sockets = clients.map(({ gets }) => {
            const socket = connect(network, ":443", gets === "nowhere" ? undefined : HELLO)
            if (gets === "to its relay") {
              network.dials.at(-1)!.answer(Effect.succeed(new FakeConnection(network, BACKEND, LOCAL)))
            }
            return socket
          })
          for (const [i, { leavesAfterMs }] of clients.entries()) {
            if (leavesAfterMs === undefined) continue
            yield* Effect.forkScoped(
              Effect.delay(
                Effect.sync(() => sockets[i]!.fail()),
                leavesAfterMs
              )
            )
          }
          yield* Effect.sleep(signalAtMs)
          yield* Queue.offer(stop, "SIGTERM")
          yield* Fiber.join(running)
          assert.isAtMost(runtime.now(), signalAtMs + 30_000)
          assert.lengthOf(entries, clients.length)
          for (const { end } of sockets) assert.strictEqual(end, "reset")
        })
        const exit = runtime.run(Effect.scoped(program))
        assert.isTrue(Exit.isSuccess(exit), String(exit))
      })
    )
  })

  it.effect("ends at a second signal, whichever it is", () =>
    Effect.gen(function* () {
      const { entries, network, running, stop } = yield* start()
      connect(network, ":443")
      connect(network, ":443", HELLO)
      yield* Queue.offer(stop, "SIGTERM")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, [])
      yield* Queue.offer(stop, "SIGINT")
      yield* Fiber.join(running)
      assert.deepStrictEqual(outcomesOf(entries), ["shutdown", "shutdown"])
    })
  )

  it.effect("is cut short by a second signal that came with the first", () =>
    Effect.gen(function* () {
      const { entries, network, running, stop } = yield* start()
      connect(network, ":443")
      yield* Queue.offerAll(stop, ["SIGINT", "SIGINT"])
      yield* Fiber.join(running)
      assert.deepStrictEqual(outcomesOf(entries), ["shutdown"])
    })
  )
})

describe("SIGHUP", () => {
  it.effect("reads the GeoIP database again, as often as it comes", () =>
    Effect.gen(function* () {
      const { lines, reload } = yield* start({ reload: Effect.succeed("/srv/geo.mmdb") })
      for (let i = 0; i < 2; i++) {
        yield* Queue.offer(reload, "SIGHUP")
        yield* TestClock.adjust(0)
      }
      assert.deepStrictEqual(saidSince(lines), ["INFO reloaded path=/srv/geo.mmdb", "INFO reloaded path=/srv/geo.mmdb"])
    })
  )

  it.effect("says so when there is no file to read again", () =>
    Effect.gen(function* () {
      const { lines, reload } = yield* start()
      yield* Queue.offer(reload, "SIGHUP")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(saidSince(lines), [
        "INFO nothing to reload: no GeoIP database is configured, and no route has a certificate"
      ])
      assert.strictEqual(yield* Queue.size(reload), 0)
    })
  )

  it.effect("logs a file that cannot be used, and goes on with the old one", () =>
    Effect.gen(function* () {
      let problem: string | undefined = "is empty"
      const { entries, lines, network, reload } = yield* start({
        country: () => "FR",
        reload: Effect.suspend(() =>
          problem === undefined
            ? Effect.succeed("/srv/geo.mmdb")
            : Effect.fail(new GeoIpError({ path: "/srv/geo.mmdb", problem }))
        )
      })
      yield* Queue.offer(reload, "SIGHUP")
      yield* TestClock.adjust(0)
      assert.lengthOf(saidSince(lines), 1)
      assert.match(saidSince(lines)[0]!, /^ERROR kept the old file .*GeoIP database \/srv\/geo.mmdb is empty/)
      connect(network, ":443", Buffer.from("SSH-2.0"))
      assert.deepInclude(entries[0], { outcome: "not_tls", country: "FR" })

      problem = undefined
      yield* Queue.offer(reload, "SIGHUP")
      yield* TestClock.adjust(0)
      assert.strictEqual(saidSince(lines)[1], "INFO reloaded path=/srv/geo.mmdb")
    })
  )

  it.effect("is heard again after a defect in reading", () =>
    Effect.gen(function* () {
      let attempts = 0
      const { lines, reload } = yield* start({
        reload: Effect.suspend(() => {
          if (++attempts === 1) throw new Error("a bug of ours")
          return Effect.succeed("/srv/geo.mmdb")
        })
      })
      for (let i = 0; i < 2; i++) {
        yield* Queue.offer(reload, "SIGHUP")
        yield* TestClock.adjust(0)
      }
      assert.lengthOf(saidSince(lines), 2)
      assert.match(saidSince(lines)[0]!, /^ERROR reloading met a defect of the proxy .*a bug of ours/)
      assert.strictEqual(saidSince(lines)[1], "INFO reloaded path=/srv/geo.mmdb")
    })
  )
})

for (const [what, ending] of [
  ["an exception that nobody has caught", "defect"],
  ["the end of its control plane", "controlEnded"]
] as const) {
  it.effect(`ends its connections as internal, and itself, at ${what}`, () =>
    Effect.gen(function* () {
      const { connections, entries, network, running, ...started } = yield* start()
      const socket = connect(network, ":443")
      yield* Deferred.die(started[ending], new Error("a bug of ours"))
      const exit = yield* Fiber.await(running)
      assert.isTrue(Exit.isFailure(exit) && Exit.hasDies(exit))
      assert.strictEqual(socket.end, "reset")
      assert.strictEqual(connections.size, 0)
      assert.deepStrictEqual(
        entries.map(({ outcome }) => outcome),
        ["internal"]
      )
    })
  )
}
