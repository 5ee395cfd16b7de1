import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { MessageChannel } from "node:worker_threads"
import { Drain } from "../../src/control/Drain.ts"
import { Follower } from "../../src/control/Follower.ts"
import * as FollowerServer from "../../src/control/FollowerServer.ts"
import * as PortProtocol from "../../src/control/PortProtocol.ts"
import * as RemoteFollower from "../../src/control/RemoteFollower.ts"
import type { Change } from "../../src/snapshot/Change.ts"
import { FakeFollower } from "./FakeFollower.ts"

const rulesOf = (count: number) =>
  Array.from(
    { length: count },
    (_, i) => ({ type: "ip", value: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }) as const
  )

/** The follower behind both ends of a port, and the one that is published to. */
const connected = Effect.gen(function* () {
  const { port1, port2 } = yield* Effect.acquireRelease(
    Effect.sync(() => new MessageChannel()),
    (channel) => Effect.sync(() => channel.port1.close())
  )
  const fake = new FakeFollower()
  const lifecycle = {
    started: Deferred.makeUnsafe<void, { readonly message: string }>(),
    stop: Deferred.makeUnsafe<void>()
  }
  const services = Layer.merge(Layer.succeed(Follower, fake.service), Drain.layer)
  yield* Effect.forkScoped(Layer.launch(Layer.provide(FollowerServer.layer(port1, lifecycle), services)))
  const remote = Layer.provide(RemoteFollower.layer, PortProtocol.layerClient(port2))
  return { fake, remote: yield* Effect.provide(Follower, yield* Layer.build(remote)) }
})

// Around as many as fit one slice, and one message.
for (const count of [0, 1, 500, 501, 10_000, 10_500, 10_501, 21_001]) {
  it.live(`publishes a change of ${count} rules whole and in order`, () =>
    Effect.gen(function* () {
      const { fake, remote } = yield* connected
      const rules = rulesOf(count)
      const change: Change = [
        { _tag: "PutRules", rules },
        { _tag: "RemoveRules", rules: rules.slice(0, 1) }
      ]
      yield* remote.publish(7, change)
      assert.strictEqual(fake.revision, 7)
      assert.deepStrictEqual(fake.state.firewallRules, rules.slice(1))
      // Nothing of it is left for the next.
      yield* remote.publish(8, [{ _tag: "PutRules", rules: rules.slice(0, 1) }])
      assert.lengthOf(fake.state.firewallRules, count)
    }).pipe(Effect.scoped)
  )
}
