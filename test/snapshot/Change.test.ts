import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { apply, diff, EMPTY, join, type Change, type State } from "../../src/snapshot/Change.ts"
import { l4, l7, listenerOf, randomChange, randomState } from "../store/RandomState.ts"

/** What a change leaves open. */
const inAnyOrder = ({ firewallRules, listeners }: State) => ({
  listeners: new Map(
    listeners.map(({ routes, ...settings }) => [
      settings.addr,
      { ...settings, routes: new Map(routes.map((route) => [route.hostname, route])) }
    ])
  ),
  firewallRules: new Set(firewallRules.map(({ type, value }) => `${type} ${value}`))
})

const applied = (state: State, ...changes: ReadonlyArray<Change>): State =>
  changes.reduce((before, change) => Result.getOrThrow(apply(before, change)), state)

describe("diff", () => {
  it("makes any state of any other, but for the order", () => {
    fc.assert(
      fc.property(randomState, randomState, (from, to) => {
        assert.deepStrictEqual(inAnyOrder(applied(from, diff(from, to))), inAnyOrder(to))
      })
    )
  })

  it("makes any state of nothing, in its order", () => {
    fc.assert(fc.property(randomState, (state) => assert.deepStrictEqual(applied(EMPTY, diff(EMPTY, state)), state)))
  })

  it("is nothing between equal states, and makes one of its own result", () => {
    fc.assert(
      fc.property(randomState, randomChange, (state, change) => {
        assert.deepStrictEqual(diff(state, structuredClone(state)), [])
        const after = apply(state, change)
        if (Result.isFailure(after)) return
        assert.deepStrictEqual(inAnyOrder(applied(state, diff(state, after.success))), inAnyOrder(after.success))
      })
    )
  })

  it("puts a route again whose policies are in another order", () => {
    const [bot, key] = [
      { type: "block_user_agent", value: "bot" },
      { type: "require_header", value: "x-key" }
    ] as const
    const from = { ...EMPTY, listeners: [listenerOf(":1", l7("a.test", [bot, key]))] }
    const to = { ...EMPTY, listeners: [listenerOf(":1", l7("a.test", [key, bot]))] }
    assert.deepStrictEqual(diff(from, to), [{ _tag: "PutRoute", listener: ":1", route: l7("a.test", [key, bot]) }])
  })
})

describe("apply", () => {
  it("keeps the place of what is put again, and the routes of a listener", () => {
    const state = { ...EMPTY, listeners: [listenerOf(":1", l4("a.test"), l4("b.test")), listenerOf(":2")] }
    const { routes: _, ...settings } = { ...listenerOf(":1"), maxConnections: 5 }
    const after = applied(state, [
      { _tag: "PutListener", listener: settings },
      { _tag: "PutRoute", listener: ":1", route: l7("a.test") }
    ])
    const changed = { ...listenerOf(":1", l7("a.test"), l4("b.test")), maxConnections: 5 }
    assert.deepStrictEqual(after.listeners, [changed, listenerOf(":2")])
  })

  it("refuses a route on a listener that is not there", () => {
    const refused = apply(EMPTY, [{ _tag: "PutRoute", listener: ":443", route: l4("a.test") }])
    assert.deepStrictEqual(refused, Result.fail("there is no listener :443"))
  })
})

describe("join", () => {
  it("does what changes do one after the other, never with two edits of rules where one will do", () => {
    fc.assert(
      fc.property(randomState, fc.array(randomChange), (state, changes) => {
        const joined = join(changes)
        assert.deepStrictEqual(apply(state, joined), apply(state, changes.flat()))
        for (const [i, { _tag }] of joined.entries()) {
          if (_tag === "PutRules" || _tag === "RemoveRules") assert.notStrictEqual(joined[i + 1]?._tag, _tag)
        }
      })
    )
  })
})
