import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { StateIndex } from "../../src/control/StateIndex.ts"
import { apply } from "../../src/snapshot/Change.ts"
import { randomChange, randomState } from "../store/RandomState.ts"

it("gives back the state that it was made of", () => {
  fc.assert(fc.property(randomState, (state) => assert.deepStrictEqual(StateIndex.of(state).toState(), state)))
})

it("equals the plain state after any changes, each on top of the other, and leaves the one before as it was", () => {
  fc.assert(
    fc.property(randomState, fc.array(randomChange, { maxLength: 5 }), (state, changes) => {
      let [plain, index] = [state, StateIndex.of(state)]
      for (const change of changes) {
        const [wanted, next] = [apply(plain, change), index.apply(change)]
        assert.deepStrictEqual(index.toState(), plain)
        assert.deepStrictEqual(
          Result.map(next, (after) => after.toState()),
          wanted
        )
        if (Result.isFailure(wanted) || Result.isFailure(next)) return
        ;[plain, index] = [wanted.success, next.success]
        for (const { addr, routes } of plain.listeners) {
          const wanted = routes.filter((route) => route.mode === "l7")
          assert.deepStrictEqual(index.l7Routes(addr), wanted)
        }
      }
    })
  )
})

it("finds each listener, route and rule, and no other", () => {
  fc.assert(
    fc.property(randomState, randomState, (state, other) => {
      const index = StateIndex.of(state)
      for (const { addr, routes } of [...state.listeners, ...other.listeners]) {
        const listener = state.listeners.find((known) => known.addr === addr)
        assert.strictEqual(index.listener(addr)?.addr, listener?.addr)
        assert.strictEqual(index.routeCount(addr), listener?.routes.length ?? 0)
        for (const { hostname } of routes) {
          const known = listener?.routes.find((route) => route.hostname === hostname)
          assert.deepStrictEqual(index.route(addr, hostname), known)
        }
      }
      for (const rule of [...state.firewallRules, ...other.firewallRules]) {
        const known = state.firewallRules.some(({ type, value }) => type === rule.type && value === rule.value)
        assert.strictEqual(index.hasRule(rule), known)
      }
    })
  )
})
