/**
 * A caller that changes the proxy through the admin API, at random, on names that are its own: so what each of its
 * mutations has come to can be told, whatever others do meanwhile.
 *
 * It asks for one after the other, and knows what is there as long as it is answered. What chance decides comes from
 * Effect's `Random`.
 */
import { Effect, Random } from "effect"
import type { Fields } from "../../admin/grpc/StockClient.ts"
import type { Ask, Refused } from "./Admin.ts"
import { changed, listenerKey, routeKey, ruleKey, type Items, type ItemsChange } from "./Items.ts"

export interface Mutation {
  readonly method: string
  readonly request: Fields
  readonly change: ItemsChange
}

export class Mutator {
  /** What of its own is there, by all that it was answered. */
  items: Items = new Map()
  /** Not answered: done as a whole, or not at all. */
  unanswered: ItemsChange | undefined
  readonly #base: string
  readonly #backends: ReadonlyArray<string>
  readonly #listeners: ReadonlyArray<string>
  readonly #hostnames: ReadonlyArray<string>
  readonly #rules: ReadonlyArray<Rule>

  /** `number` tells it from others, at most 100; its routes are on `base`, and on listeners of its own. */
  constructor(number: number, base: string, backends: ReadonlyArray<string>) {
    const many = <A>(count: number, make: (i: number) => A) => Array.from({ length: count }, (_, i) => make(i))
    this.#base = base
    this.#backends = backends
    this.#listeners = many(2, (i) => `127.1.${number}.${i}:0`)
    this.#hostnames = many(8, (i) => `${i}.m${number}.test`)
    this.#rules = [
      ...many(24, (i): Rule => ["ip", `127.${100 + number}.0.${i}`]),
      ...many(8, (i): Rule => ["cidr", `10.${number}.${i}.0/24`])
    ]
  }

  /** Of everything that it may have made. */
  get keys(): ReadonlyArray<string> {
    return [
      ...this.#listeners.map(listenerKey),
      ...[this.#base, ...this.#listeners].flatMap((addr) => this.#hostnames.map((name) => routeKey(addr, name))),
      ...this.#rules.map(([type, value]) => ruleKey(type, value))
    ]
  }

  /** Asks for one mutation; fails when it is not done, or when that is not known. */
  mutate(ask: Ask): Effect.Effect<void, Refused> {
    return Effect.flatMap(this.#next(), ({ change, method, request }) => {
      this.unanswered = change
      return Effect.map(ask(method, request), () => {
        this.items = changed(this.items, change)
        this.unanswered = undefined
      })
    })
  }

  /** Knows again what is there, from `items` of the proxy. */
  readBack(items: Items): void {
    const done = [...(this.unanswered ?? [])].every(([key, value]) => items.get(key) === value)
    if (this.unanswered !== undefined && done) this.items = changed(this.items, this.unanswered)
    this.unanswered = undefined
  }

  #next(): Effect.Effect<Mutation> {
    return Effect.flatMap(Random.next, (chance) => {
      if (chance < 0.35) return Effect.map(choice(this.#rules), (rule) => this.#toggleRule(rule))
      if (chance < 0.5) return Effect.map(Random.shuffle(this.#rules), (rules) => this.#applyRules(rules))
      if (chance < 0.85) return this.#nextRoute()
      return Effect.zipWith(choice(this.#listeners), Random.nextIntBetween(1, 1000), (addr, count) =>
        this.#nextListener(addr, count)
      )
    })
  }

  #toggleRule([type, value]: Rule): Mutation {
    const key = ruleKey(type, value)
    const request = { rule: ruleFields([type, value]) }
    return this.items.has(key)
      ? { method: "RemoveFirewallRule", request, change: new Map([[key, undefined]]) }
      : { method: "AddFirewallRule", request, change: new Map([[key, ""]]) }
  }

  /** Half of them: those that are there go, the others come. */
  #applyRules(shuffled: ReadonlyArray<Rule>): Mutation {
    const some = shuffled.slice(shuffled.length / 2)
    const isThere = ([type, value]: Rule) => this.items.has(ruleKey(type, value))
    return {
      method: "ApplyFirewallRules",
      request: {
        add: some.filter((rule) => !isThere(rule)).map(ruleFields),
        remove: some.filter(isThere).map(ruleFields)
      },
      change: new Map(some.map((rule) => [ruleKey(...rule), isThere(rule) ? undefined : ""]))
    }
  }

  readonly #nextRoute = Effect.fnUntraced({ self: this }, function* () {
    const own = this.#listeners.filter((addr) => this.items.has(listenerKey(addr)))
    const addr = yield* choice([this.#base, ...own])
    const hostname = yield* choice(this.#hostnames)
    const backend = yield* choice(this.#backends)
    const key = routeKey(addr, hostname)
    const mutation: Mutation =
      this.items.has(key) && (yield* Random.nextBoolean)
        ? { method: "RemoveRoute", request: { listener_addr: addr, hostname }, change: new Map([[key, undefined]]) }
        : {
            method: "AddRoute",
            request: { listener_addr: addr, route: { hostname, backend } },
            change: new Map([[key, backend]])
          }
    return mutation
  })

  #nextListener(addr: string, count: number): Mutation {
    const key = listenerKey(addr)
    if (!this.items.has(key)) {
      return {
        method: "AddListener",
        request: { listener: { addr, max_connections: count } },
        change: new Map([[key, String(count)]])
      }
    }
    if (count % 2 === 0) {
      return {
        method: "SetListenerMaxConnections",
        request: { listener_addr: addr, max_connections: count },
        change: new Map([[key, String(count)]])
      }
    }
    const routes = this.#hostnames.map((hostname) => routeKey(addr, hostname))
    return {
      method: "RemoveListener",
      request: { addr },
      change: new Map([key, ...routes].map((gone) => [gone, undefined]))
    }
  }
}

type Rule = readonly [type: "ip" | "cidr", value: string]

const ruleFields = ([type, value]: Rule) => ({ type: `FIREWALL_RULE_TYPE_${type.toUpperCase()}`, value })

const choice = <A>(items: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, items.length, { halfOpen: true }), (i) => items[i]!)
