import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { assertOutcome, assertServing, forAll, hello, hostname, makeWorld, ROUTE } from "./World.ts"

/** Names that share their ends and their beginnings, in any spelling that a client or an operator may write. */
const anyName = fc.array(fc.constantFrom("a", "b", "git", "x-y", "_z"), { minLength: 1, maxLength: 3 })

const anySpelling = fc
  .tuple(anyName, fc.boolean(), fc.boolean())
  .map(([labels, upper, dot]) => `${upper ? labels.join(".").toUpperCase() : labels.join(".")}${dot ? "." : ""}`)

const plain = (spelling: string): string => spelling.toLowerCase().replace(/\.$/, "")

it.effect("takes a client to the backend of the very name that it asks for, however it is spelled", () =>
  forAll(
    fc.record({
      names: fc.uniqueArray(anySpelling, { selector: plain, maxLength: 20, size: "max" }),
      asked: fc.array(anySpelling, { maxLength: 8, size: "max" })
    }),
    100,
    Effect.fnUntraced(function* ({ asked, names }) {
      const routes = names.map((name, i) => ({ ...ROUTE, hostname: hostname(name), backend: `192.0.2.${i}:443` }))
      const world = yield* makeWorld({ listener: { routes }, socketsMax: 100 })
      for (const name of [...asked, ...names]) {
        const at = names.findIndex((other) => plain(other) === plain(name))
        const dialsBefore = world.network.dials.length
        const connected = world.connect(hello(name))
        if (at < 0) {
          assertOutcome(world, connected, "no_route")
          assert.lengthOf(world.network.dials, dialsBefore)
        } else {
          assertServing(world, connected)
          assert.lengthOf(world.network.dials, dialsBefore + 1)
          assert.deepStrictEqual(world.network.dials.at(-1)!.address.ip, parseIpAddress(`192.0.2.${at}`))
        }
      }
    })
  )
)
