import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { RelayEnd } from "../../src/net/Network.ts"
import type { Outcome } from "../../src/pipeline/Outcome.ts"
import { concat } from "../tls/TlsBuilder.ts"
import {
  ROUTE,
  SETTINGS,
  assertNothingHeld,
  assertOutcome,
  assertServing,
  closedOf,
  forAll,
  hello,
  makeWorld,
  watchRelease,
  type Connected,
  type World
} from "./World.ts"

/** Something that happens to a connection, whatever it is doing. */
type Happening =
  | { readonly what: "fin" | "rst" | "dial accepted" | "dial accepted, writes stuck" | "dial refused" | "interruption" }
  | { readonly what: "bytes"; readonly count: number }
  | { readonly what: "time"; readonly ms: number }
  | { readonly what: "relay ends"; readonly end: RelayEnd }
  | { readonly what: "end"; readonly outcome: Outcome }

const happenings: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constant("bytes"), count: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("time"), ms: fc.integer({ min: 1, max: 7000 }) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("dial accepted") }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom("fin", "rst", "interruption") }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom("dial accepted, writes stuck", "dial refused") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant("relay ends"),
      end: fc.constantFrom("done", "reset", "idle_timeout", "half_close_timeout")
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant("end"), outcome: fc.constantFrom("closed_by_admin", "shutdown") })
  }
)

/** What the client sends, in all: its proxy's header and its hello. */
const STREAM = concat(Buffer.from("PROXY TCP4 198.51.100.9 198.51.100.1 700 443\r\n"), hello("git.example.net"))

/** What ought to become of a connection, told without any pipeline. */
class Model {
  outcome: Outcome | undefined
  waitsFor: "hello" | "dial" | "write" | "relay" = "hello"
  sent = 0
  waitedMs = 0

  see(happening: Happening): void {
    if (this.outcome !== undefined) return
    if (happening.what === "end") this.outcome = happening.outcome
    else if (happening.what === "interruption") this.outcome = "internal"
    else if (happening.what === "rst" && this.waitsFor !== "relay") this.outcome = "reset"
    else if (happening.what === "time") this.#wait(happening.ms)
    else if (this.waitsFor === "hello") this.#seeInHello(happening)
    else if (this.waitsFor === "dial") this.#seeInDial(happening)
    else if (this.waitsFor === "relay" && happening.what === "relay ends") this.outcome = happening.end
  }

  #wait(ms: number): void {
    this.waitedMs += ms
    if (this.waitsFor === "hello" && this.waitedMs >= SETTINGS.helloTimeoutMs) this.outcome = "hello_timeout"
    if (this.waitsFor === "dial" && this.waitedMs >= SETTINGS.connectTimeoutMs) this.outcome = "dial_timeout"
  }

  #seeInHello(happening: Happening): void {
    if (happening.what === "fin") this.outcome = "client_closed"
    if (happening.what !== "bytes") return
    this.sent += happening.count
    if (this.sent >= STREAM.length) this.#goOn("dial")
  }

  #seeInDial(happening: Happening): void {
    if (happening.what === "dial refused") this.outcome = "dial_failed"
    if (happening.what === "dial accepted") this.#goOn("relay")
    if (happening.what === "dial accepted, writes stuck") this.#goOn("write")
  }

  #goOn(waitsFor: Model["waitsFor"]): void {
    this.waitsFor = waitsFor
    this.waitedMs = 0
  }
}

/** Brings it about, where the connection is so far that it can happen. */
const happen = (world: World, { fiber, live, socket }: Connected, happening: Happening, model: Model) => {
  const dialling = model.outcome === undefined && model.waitsFor === "dial"
  switch (happening.what) {
    case "fin":
      return socket.finish()
    case "rst":
      return socket.fail()
    case "bytes":
      return socket.send(STREAM.subarray(model.sent, model.sent + happening.count))
    case "dial accepted":
      return dialling && world.answerDial()
    case "dial accepted, writes stuck":
      return dialling && world.answerDial(Effect.never)
    case "dial refused":
      return dialling && world.network.dials[0]!.answer(Effect.fail({ _tag: "dial_failed", reason: "refused" }))
    case "relay ends":
      return world.network.relays[0]?.end(Effect.succeed(happening.end))
    case "interruption":
      return fiber.interruptUnsafe()
    case "end":
      return live.end(happening.outcome)
    case "time":
      return undefined
  }
}

it.effect("has one outcome, the first that happens, and gives everything back", () =>
  Effect.gen(function* () {
    const seen = new Set<Outcome>()
    yield* forAll(
      fc.array(happenings, { minLength: 3, maxLength: 20, size: "max" }),
      300,
      Effect.fnUntraced(function* (all) {
        const world = yield* makeWorld({
          listener: { maxConnections: 3, proxyProtocol: true, routes: [{ ...ROUTE, sendProxyProtocol: true }] }
        })
        const room = world.room()
        const socket = world.open()
        const released = watchRelease(world, socket)
        const connected = world.accept(socket)
        const model = new Model()
        for (const happening of [...all, { what: "end", outcome: "shutdown" } as const]) {
          happen(world, connected, happening, model)
          if (happening.what === "time") yield* TestClock.adjust(happening.ms)
          model.see(happening)
          if (model.outcome === undefined) assertServing(world, connected)
          else assertOutcome(world, connected, model.outcome)
        }
        seen.add(model.outcome!)
        assert.deepStrictEqual(closedOf(world), { [model.outcome!]: 1 })
        assert.strictEqual(world.entries[0]?.fromClient, 0)
        assert.strictEqual(released.end, model.outcome === "done" ? "closed" : "reset")
        assertNothingHeld(world, room)
      })
    )
    // Fewer ways to an end would mean that the happenings no longer get a connection anywhere.
    assert.isAtLeast(seen.size, 8)
  })
)
