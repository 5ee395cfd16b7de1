/** Binding and accepting. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Queue, Scope } from "effect"
import type { Connection } from "../../../src/net/Connection.ts"
import { parseIpAddress, type IpAddress } from "../../../src/net/IpAddress.ts"
import { Network } from "../../../src/net/Network.ts"
import { formatSocketAddress, type SocketAddress } from "../../../src/net/SocketAddress.ts"
import { LOOPBACK, assertSameBytes, dial, listening, pattern, receive, type Case } from "./Fixture.ts"

export const listenCases = (test: Case): void => {
  test(
    "accepts every connection, each with its peer's address",
    Effect.gen(function* () {
      const { address, accepted } = yield* listening(LOOPBACK)
      const dialled = yield* Effect.replicateEffect(dial(address), 20, { concurrency: "unbounded" })
      const found = yield* Queue.takeN(accepted, 20)
      assert.sameMembers(
        found.map(({ peer }) => formatSocketAddress(peer!)),
        dialled.map(({ local }) => formatSocketAddress(local!))
      )
    })
  )

  test(
    "stops accepting when the scope closes, and what was accepted goes on",
    Effect.gen(function* () {
      const network = yield* Network
      const accepted = yield* Queue.unbounded<Connection>()
      const scope = yield* Scope.make()
      const listen = network.listen(LOOPBACK, (connection) => Queue.offerUnsafe(accepted, connection))
      const address = yield* Scope.provide(listen, scope)
      const near = yield* dial(address)
      const far = yield* Effect.acquireRelease(Queue.take(accepted), (connection) =>
        Effect.sync(() => connection.reset())
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(dial(address)))._tag, "dial_failed")
      yield* near.write(pattern(10))
      assertSameBytes(yield* receive(far, 10), pattern(10))
    })
  )

  test(
    "says which address is taken, and what to do",
    Effect.gen(function* () {
      const { address } = yield* listening(LOOPBACK)
      const error = yield* Effect.flip(listening(address))
      assert.strictEqual(error._tag, "ListenError")
      assert.include(error.message, `cannot listen on ${formatSocketAddress(address)}: `)
      assert.include(error.message, "in use")
    })
  )

  test(
    "binds again to what was let go",
    Effect.gen(function* () {
      const { address } = yield* Effect.scoped(listening(LOOPBACK))
      const again = yield* listening(address)
      assert.deepStrictEqual(again.address, address)
      yield* dial(again.address)
    })
  )

  test(
    "gives each listener on port 0 a port of its own",
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([listening(LOOPBACK), listening(LOOPBACK)])
      assert.isAbove(one.address.port, 0)
      assert.notStrictEqual(one.address.port, two.address.port)
      assert.strictEqual(one.address.ip.text, "127.0.0.1")
    })
  )

  test(
    "speaks IPv6",
    Effect.gen(function* () {
      const { address, accepted } = yield* listening({ ip: ip("::1"), port: 0 })
      yield* dial(address)
      const { peer, local } = yield* Queue.take(accepted)
      assert.strictEqual(formatSocketAddress(local!), `[::1]:${address.port}`)
      assert.strictEqual(peer!.ip.text, "::1")
    })
  )

  test(
    "shows an IPv4 client of every address as IPv4, and an IPv6 client as IPv6",
    Effect.gen(function* () {
      const { address, accepted } = yield* listening({ ip: undefined, port: 0 })
      for (const text of ["127.0.0.1", "::1"]) {
        const target: SocketAddress = { ip: ip(text), port: address.port }
        const near = yield* dial(target)
        const { peer, local } = yield* Queue.take(accepted)
        assert.deepStrictEqual([peer, local], [near.local, target])
      }
    })
  )
}

const ip = (text: string): IpAddress => {
  const parsed = parseIpAddress(text)
  assert.isDefined(parsed)
  return parsed
}
