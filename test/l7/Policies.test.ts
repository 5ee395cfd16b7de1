import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { compilePolicies, firstMatch } from "../../src/l7/Policies.ts"
import type { L7Policy } from "../../src/snapshot/Snapshot.ts"
import { anyCase } from "./RandomFields.ts"
import { headOf, http1 } from "./Requests.ts"

const match = (policies: ReadonlyArray<L7Policy>, ...fields: ReadonlyArray<string>) =>
  firstMatch(compilePolicies(policies), headOf(http1("GET / HTTP/1.1", "Host", "api.example.net", ...fields)))?.value

const block = (value: string): L7Policy => ({ type: "block_user_agent", value })
const require = (value: string): L7Policy => ({ type: "require_header", value })

describe("block_user_agent", () => {
  it("matches its value anywhere in the User-Agent, without case", () => {
    const around = fc.stringMatching(/^[ a-z/.;()]{0,8}$/)
    fc.assert(
      fc.property(around, anyCase("badbot/1.0"), around, anyCase("BadBot/1"), (before, agent, after, value) => {
        assert.isDefined(match([block(value)], "User-Agent", before + agent + after))
      })
    )
  })

  it("matches no other agent, no other field, and nobody without one", () => {
    for (const fields of [[], ["User-Agent", "BadBo"], ["User-Agent", ""], ["X-User-Agent", "BadBot"]]) {
      assert.isUndefined(match([block("BadBot")], ...fields))
    }
  })

  it("is not got round by a second User-Agent", () => {
    assert.isDefined(match([block("BadBot")], "User-Agent", "curl", "User-Agent", "BadBot"))
  })
})

describe("require_header", () => {
  it("matches where no field has the name, without case", () => {
    assert.isDefined(match([require("X-Api-Key")]))
    assert.isDefined(match([require("X-Api-Key")], "X-Api-Key2", "1", "X-Api", "1"))
    assert.isUndefined(match([require("X-Api-Key")], "x-API-key", ""))
  })

  it("takes host for there, as it is in every request", () => {
    assert.isUndefined(match([require("Host")]))
  })
})

it("names the first policy that matches, in the route's order", () => {
  const policies = [require("a"), block("x"), require("b")]
  assert.strictEqual(match(policies, "a", "1", "b", "1", "User-Agent", "x"), "x")
  assert.strictEqual(match(policies, "a", "1", "User-Agent", "x"), "x")
  assert.strictEqual(match(policies, "User-Agent", "x"), "a")
  assert.isUndefined(match(policies, "a", "1", "b", "1"))
  assert.isUndefined(match([]))
})
