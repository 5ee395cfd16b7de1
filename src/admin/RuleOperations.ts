/** `getFirewallRules`, `addFirewallRule`, `removeFirewallRule`, `applyFirewallRules`. */
import { Effect, Result } from "effect"
import { ControlPlane } from "../control/ControlPlane.ts"
import type { StateIndex } from "../control/StateIndex.ts"
import { ruleKey, type Change } from "../snapshot/Change.ts"
import type { FirewallRule } from "../snapshot/FirewallRule.ts"
import { AlreadyExists, InvalidArgument, NotFound } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { AdminSettings } from "./AdminSettings.ts"
import { noGeoIp } from "./Replies.ts"
import { readRule, readRules } from "./Requests.ts"

export const ruleOperations = Effect.gen(function* () {
  const control = yield* ControlPlane
  const { geoipDb } = yield* AdminSettings

  /** Without a database no address has a country, and a rule that blocks nobody is worse than none. */
  const checkCountries = (rules: ReadonlyArray<FirewallRule>) =>
    geoipDb === "" && rules.some(({ type }) => type === "country") ? noGeoIp() : Effect.void

  return {
    getFirewallRules: () => Effect.sync(() => ({ rules: control.current.state.rules })),

    addFirewallRule: Effect.fnUntraced(function* (request: Request<"addFirewallRule">) {
      const rule = yield* Effect.fromResult(readRule("rule", request.rule))
      yield* checkCountries([rule])
      return yield* control.mutate((state) =>
        state.hasRule(rule)
          ? Result.fail(new AlreadyExists({ message: `rule: ${rule.type} ${rule.value} is there already` }))
          : Result.succeed({ change: [{ _tag: "PutRules", rules: [rule] }], answer: {} })
      )
    }),

    removeFirewallRule: Effect.fnUntraced(function* (request: Request<"removeFirewallRule">) {
      const rule = yield* Effect.fromResult(readRule("rule", request.rule))
      return yield* control.mutate((state) =>
        state.hasRule(rule)
          ? Result.succeed({ change: [{ _tag: "RemoveRules", rules: [rule] }], answer: {} })
          : Result.fail(new NotFound({ message: `rule: there is no ${rule.type} ${rule.value}` }))
      )
    }),

    applyFirewallRules: Effect.fn("applyFirewallRules")(function* (request: Request<"applyFirewallRules">) {
      const add = distinct(yield* Effect.fromResult(readRules("add", request.add)))
      const remove = distinct(yield* Effect.fromResult(readRules("remove", request.remove)))
      for (const [key, { type, value }] of remove) {
        if (!add.has(key)) continue
        return yield* new InvalidArgument({
          message: `remove: ${type} ${value} is in add, too; name it in one of them`
        })
      }
      yield* checkCountries([...add.values()])
      const asked = request.add.length + request.remove.length
      return yield* control.mutate((state) => Result.succeed(applyRules(state, add, remove, asked)))
    })
  }
})

type Distinct = ReadonlyMap<string, FirewallRule>

const distinct = (rules: ReadonlyArray<FirewallRule>): Distinct => new Map(rules.map((rule) => [ruleKey(rule), rule]))

const applyRules = (state: StateIndex, add: Distinct, remove: Distinct, asked: number) => {
  const added = [...add.values()].filter((rule) => !state.hasRule(rule))
  const removed = [...remove.values()].filter((rule) => state.hasRule(rule))
  const change: Change = [
    ...(removed.length > 0 ? [{ _tag: "RemoveRules", rules: removed } as const] : []),
    ...(added.length > 0 ? [{ _tag: "PutRules", rules: added } as const] : [])
  ]
  const unchanged = asked - added.length - removed.length
  return { change, answer: { added: added.length, removed: removed.length, unchanged } }
}
