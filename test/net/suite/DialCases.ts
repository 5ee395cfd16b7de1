/** Reaching an address, or finding out that it cannot be reached. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Fiber, Queue, Scheduler, Scope } from "effect"
import { Network } from "../../../src/net/Network.ts"
import { formatSocketAddress } from "../../../src/net/SocketAddress.ts"
import {
  LOOPBACK,
  assertEnds,
  assertReceives,
  connected,
  dial,
  listening,
  pattern,
  peek,
  until,
  type Case,
  type SuiteOptions
} from "./Fixture.ts"

export const dialCases = (test: Case, options: SuiteOptions): void => {
  test(
    "gives both ends the same two addresses",
    Effect.gen(function* () {
      const { near, far } = yield* connected
      assert.deepStrictEqual(near.peer, far.local)
      assert.deepStrictEqual(near.local, far.peer)
      assert.strictEqual(near.peer!.ip.text, "127.0.0.1")
      assert.notStrictEqual(near.local!.port, far.local!.port)
    })
  )

  test(
    "says who refused",
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(listening(LOOPBACK))
      const error = yield* Effect.flip(dial(gone.address))
      assert.strictEqual(error._tag, "dial_failed")
      assert.include(error.reason, formatSocketAddress(gone.address))
    })
  )

  test(
    "gives up at the deadline, and says on whom",
    Effect.gen(function* () {
      const network = yield* Network
      const silent = yield* options.silentAddress
      const dialling = Effect.flip(network.dial(silent, network.now() + 40))
      const waiting = yield* Effect.forkChild(dialling, { startImmediately: true })
      yield* options.advance(40)
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag, "dial_timeout")
      assert.include(error.reason, formatSocketAddress(silent))
    })
  )

  test(
    "is cancelled by interruption",
    Effect.gen(function* () {
      const silent = yield* options.silentAddress
      const openSockets = yield* options.openSockets
      const before = openSockets()
      const waiting = yield* Effect.forkChild(dial(silent), { startImmediately: true })
      yield* until(options, () => openSockets() > before)
      yield* Fiber.interrupt(waiting)
      yield* until(options, () => openSockets() <= before)
    })
  )

  test(
    "leaves no socket behind when it is interrupted at any step",
    Effect.gen(function* () {
      const { address } = yield* listening(LOOPBACK)
      for (let steps = 0; steps < 40; steps++) {
        // A scheduler that lets others run after every few operations lets them interrupt there, too.
        const dialling = yield* Effect.andThen(dial(address), Effect.never).pipe(
          Effect.scoped,
          Effect.forkChild,
          Effect.provideService(Scheduler.MaxOpsBeforeYield, 3)
        )
        yield* Effect.replicateEffect(steps % 2 === 0 ? Effect.yieldNow : options.turn, steps)
        yield* Fiber.interrupt(dialling)
      }
    })
  )

  test(
    "resets a connection whose scope closes before it has finished",
    Effect.gen(function* () {
      const { address, accepted } = yield* listening(LOOPBACK)
      const scope = yield* Scope.make()
      const near = yield* Scope.provide(dial(address), scope)
      yield* near.write(pattern(10))
      const far = yield* Queue.take(accepted)
      yield* peek(far, 9)
      yield* Scope.close(scope, Exit.void)
      yield* assertReceives(far, pattern(10), "ConnectionReset")
    })
  )

  test(
    "leaves a connection in peace that has finished when its scope closes",
    Effect.gen(function* () {
      const { address, accepted } = yield* listening(LOOPBACK)
      const scope = yield* Scope.make()
      const near = yield* Scope.provide(dial(address), scope)
      const far = yield* Queue.take(accepted)
      yield* far.endWrite
      yield* assertEnds(near, "PeerEnded")
      const openSockets = yield* options.openSockets
      const before = openSockets()
      yield* near.write(pattern(50_000))
      yield* near.endWrite
      yield* until(options, () => openSockets() < before)
      yield* Scope.close(scope, Exit.void)
      yield* assertReceives(far, pattern(50_000), "PeerEnded")
    })
  )
}
