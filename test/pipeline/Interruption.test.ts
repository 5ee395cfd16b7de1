import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  ROUTE,
  assertNothingHeld,
  assertOutcome,
  closedOf,
  hello,
  makeWorld,
  type Connected,
  type World,
  type WorldOptions
} from "./World.ts"

const HELLO = hello("git.example.net")

/** A wait of the pipeline's, and how a connection gets there. */
interface Wait extends WorldOptions {
  readonly where: string
  reach(world: World): Connected
}

const WAITS: ReadonlyArray<Wait> = [
  {
    where: "for the PROXY header",
    listener: { proxyProtocol: true, maxConnections: 5 },
    reach: (world) => world.connect()
  },
  { where: "for the hello", listener: { maxConnections: 5 }, reach: (world) => world.connect(HELLO.subarray(0, 9)) },
  { where: "for the dial", listener: { maxConnections: 5 }, reach: (world) => world.connect(HELLO) },
  {
    where: "for the backend to take the header",
    listener: { routes: [{ ...ROUTE, sendProxyProtocol: true }], maxConnections: 5 },
    reach: (world) => {
      const connected = world.connect(HELLO)
      world.answerDial(Effect.never)
      return connected
    }
  },
  {
    where: "for the relay",
    listener: { maxConnections: 5 },
    reach: (world) => {
      const connected = world.connect(HELLO)
      world.answerDial()
      return connected
    }
  }
]

for (const wait of WAITS) {
  describe(`a connection that waits ${wait.where}`, () => {
    const ended = Effect.fnUntraced(function* (end: (connected: Connected) => void) {
      const world = yield* makeWorld(wait)
      const room = world.room()
      const connected = wait.reach(world)
      assert.isUndefined(connected.fiber.pollUnsafe())
      end(connected)
      assert.isDefined(connected.fiber.pollUnsafe())
      assertNothingHeld(world, room)
      return { world, connected }
    })

    it.effect("ends at once as what it is told, and gives everything back", () =>
      Effect.gen(function* () {
        const { world, connected } = yield* ended(({ live }) => live.end("closed_by_admin"))
        assertOutcome(world, connected, "closed_by_admin")
        assert.deepStrictEqual(world.lines, [])
      })
    )

    it.effect("ends as the first thing it is told", () =>
      Effect.gen(function* () {
        const { world, connected } = yield* ended(({ live }) => {
          live.end("closed_by_admin")
          live.end("shutdown")
        })
        assertOutcome(world, connected, "closed_by_admin")
        assert.deepStrictEqual(closedOf(world), { closed_by_admin: 1 })
      })
    )

    it.effect("ends as internal, and says so, when it is interrupted without being told why", () =>
      Effect.gen(function* () {
        const { world, connected } = yield* ended(({ fiber }) => fiber.interruptUnsafe())
        assertOutcome(world, connected, "internal")
        assert.lengthOf(world.lines, 1)
        assert.include(world.lines[0], "interrupted")
        assert.include(world.lines[0], `id=${connected.live.id} listener=:443`)
      })
    )
  })
}

describe("a connection that is ended before it waits for anything", () => {
  it.effect("has that outcome when nobody serves it yet, and is not looked at", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const room = world.room()
      const socket = world.open()
      socket.send(HELLO)
      const connected = world.accept(socket, (live) => {
        live.end("closed_by_admin")
        live.end("shutdown")
      })
      assertOutcome(world, connected, "closed_by_admin")
      assert.strictEqual(socket.peeks, 0)
      assert.deepStrictEqual(closedOf(world), { closed_by_admin: 1 })
      assertNothingHeld(world, room)
    })
  )

  it.effect("has that outcome when a stage is at work", () =>
    Effect.gen(function* () {
      const world: World = yield* makeWorld({
        rules: [{ type: "country", value: "KP" }],
        country: () => {
          world.connections.endAll("shutdown")
          world.connections.endAll("closed_by_admin")
          return "KP"
        }
      })
      const room = world.room()
      const connected = world.connect(HELLO)
      assertOutcome(world, connected, "shutdown")
      assert.strictEqual(connected.socket.peeks, 0)
      assert.strictEqual(world.entries[0]?.rule, "")
      assertNothingHeld(world, room)
    })
  )
})

it.effect("does not end a second time", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld()
    const { live } = world.connect(Buffer.from("SSH-2.0"))
    live.end("closed_by_admin")
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(closedOf(world), { not_tls: 1 })
    assert.deepStrictEqual(
      world.entries.map(({ outcome }) => outcome),
      ["not_tls"]
    )
  })
)

describe("a defect", () => {
  const bug = (): never => {
    throw new Error("a bug of ours")
  }
  const dies = Effect.die(new Error("a bug of ours"))

  const DEFECTS: Readonly<Record<string, WorldOptions & { play(world: World): Connected }>> = {
    "in accept": {
      play: (world) => {
        const sound = { ...world.quota }
        world.quota.take = bug
        const connected = world.connect()
        Object.assign(world.quota, sound)
        return connected
      }
    },
    "in identify": {
      listener: { proxyProtocol: true },
      play: (world) => {
        const socket = world.open()
        socket.peek = () => dies
        return world.accept(socket)
      }
    },
    "in admit": { country: bug, play: (world) => world.connect() },
    "in peek": {
      play: (world) => {
        const socket = world.open()
        socket.peek = bug
        return world.accept(socket)
      }
    },
    "in dial": {
      play: (world) => {
        const connected = world.connect(HELLO)
        world.network.dials[0]!.answer(dies)
        return connected
      }
    },
    "in the PROXY header's write": {
      listener: { routes: [{ ...ROUTE, sendProxyProtocol: true }] },
      play: (world) => {
        const connected = world.connect(HELLO)
        world.answerDial(dies)
        return connected
      }
    },
    "in relay": {
      play: (world) => {
        const connected = world.connect(HELLO)
        world.answerDial()
        world.network.relays[0]!.end(dies)
        return connected
      }
    }
  }
  for (const [where, defect] of Object.entries(DEFECTS)) {
    it.effect(`${where} ends its connection as internal and is told with its message`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld(defect)
        const room = world.room()
        const connected = defect.play(world)
        assertOutcome(world, connected, "internal")
        assert.lengthOf(world.lines, 1)
        assert.include(world.lines[0], "a bug of ours")
        assert.include(world.lines[0], `id=${connected.live.id}`)
        assertNothingHeld(world, room)
      })
    )
  }

  it.effect("is told even when the connection had been ended already", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const room = world.room()
      const connected = world.connect(HELLO)
      const backend = world.answerDial()
      const reset = backend.reset.bind(backend)
      backend.reset = () => {
        reset()
        bug()
      }
      connected.live.end("closed_by_admin")
      assertOutcome(world, connected, "closed_by_admin")
      assert.lengthOf(world.lines, 1)
      assert.include(world.lines[0], "a bug of ours")
      assertNothingHeld(world, room)
    })
  )
})
