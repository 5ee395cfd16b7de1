import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { DescriptorBudget, type ClientPlace, type Place } from "../../src/net/DescriptorBudget.ts"

/** For so many clients without a backend's socket one is kept, on a budget of less than eight times as much. */
const KEPT_FOR_BACKENDS = 256

const budgetOf = (socketsMax: number): DescriptorBudget["Service"] =>
  Effect.runSync(Effect.provide(DescriptorBudget, DescriptorBudget.layer(socketsMax)))

/** Clients as a pipeline makes them of the budget, with the sockets that each has open, and listeners. */
class Clients {
  readonly #budget: DescriptorBudget["Service"]
  readonly live: Array<{ readonly place: ClientPlace; backends: number }> = []
  /** Sockets beside theirs. */
  readonly others: Array<Place> = []
  readonly #waitingMax: number

  constructor(budget: DescriptorBudget["Service"], waitingMax: number) {
    this.#budget = budget
    this.#waitingMax = waitingMax
  }

  get open(): number {
    return this.live.reduce((sum, { backends }) => sum + 1 + backends, this.others.length)
  }

  get waiting(): number {
    return this.live.filter(({ backends }) => backends === 0).length
  }

  /** `pick` says which client, if the operation is one of a client's. */
  run({ operation, pick }: Operation): void {
    const client = this.live[pick % Math.max(1, this.live.length)]
    switch (operation) {
      case "accept": {
        const place = this.waiting < this.#waitingMax ? this.#budget.take() : undefined
        if (place !== undefined) this.live.push({ place, backends: 0 })
        return
      }
      case "dial":
        if (client?.place.takeBackend() === true) client.backends++
        return
      case "hang up":
        // Of more than the budget keeps for, those who have no backend's socket may not become more.
        if (client === undefined || client.backends === 0 || this.waiting >= this.#waitingMax) return
        client.place.releaseBackend()
        client.backends--
        return
      case "leave":
        if (client !== undefined) this.leave(client)
        return
      case "listen":
        this.others.push(...[this.#budget.reserve()].filter((place) => place !== undefined))
        return
      case "stop listening":
        this.others.pop()?.release()
    }
  }

  leave(client: { readonly place: ClientPlace; backends: number }): void {
    for (; client.backends > 0; client.backends--) client.place.releaseBackend()
    client.place.release()
    this.live.splice(this.live.indexOf(client), 1)
  }
}

interface Operation {
  readonly operation: "accept" | "dial" | "hang up" | "leave" | "listen" | "stop listening"
  readonly pick: number
}

const operations = fc.array(
  fc.record({
    operation: fc.constantFrom<Operation["operation"]>(
      ...(["accept", "accept", "dial", "dial", "hang up", "leave", "listen", "stop listening"] as const)
    ),
    pick: fc.nat(1000)
  }),
  { maxLength: 600, size: "max" }
)

/** Budgets at which everything is kept for backends, and larger ones. */
const budgets = fc.oneof(fc.nat(12), fc.integer({ min: 600, max: 700 }))

it("never has more sockets open than its limit, whatever the order", () => {
  fc.assert(
    fc.property(budgets, operations, (socketsMax, ops) => {
      const clients = new Clients(budgetOf(socketsMax), Infinity)
      for (const op of ops) {
        clients.run(op)
        assert.isAtMost(clients.open, socketsMax)
      }
    })
  )
})

it("has a socket for the backend of every client that it took, while no more wait than it keeps sockets for", () => {
  fc.assert(
    fc.property(budgets, operations, (socketsMax, ops) => {
      const clients = new Clients(budgetOf(socketsMax), KEPT_FOR_BACKENDS)
      for (const op of ops) clients.run(op)
      for (const { place, backends } of clients.live) if (backends === 0) assert.isTrue(place.takeBackend())
    })
  )
})

it("is as new when everything has been given back", () => {
  fc.assert(
    fc.property(budgets, operations, (socketsMax, ops) => {
      const budget = budgetOf(socketsMax)
      const clients = new Clients(budget, Infinity)
      for (const op of ops) clients.run(op)
      for (const client of [...clients.live]) clients.leave(client)
      for (const place of clients.others) place.release()
      assert.strictEqual(takeAll(budget).length, takeAll(budgetOf(socketsMax)).length)
    })
  )
})

it("takes half of a small budget in clients, so that each has a backend", () => {
  for (const [socketsMax, clients] of [
    [0, 0],
    [1, 0],
    [2, 1],
    [3, 1],
    [512, 256]
  ] as const) {
    assert.strictEqual(takeAll(budgetOf(socketsMax)).length, clients)
  }
})

it("takes more clients than half of a large budget, and keeps an eighth for backends", () => {
  for (const [socketsMax, kept] of [
    [600, 256],
    [8000, 1000]
  ] as const) {
    const places = takeAll(budgetOf(socketsMax))
    assert.strictEqual(places.length, socketsMax - kept)
    const dialled = places.filter((place) => place.takeBackend())
    assert.strictEqual(dialled.length, kept)
  }
})

it("gives a second socket at once only of what is kept for nobody", () => {
  const budget = budgetOf(5)
  const [one, two] = takeAll(budget)
  assert.isTrue(one!.takeBackend())
  assert.isTrue(one!.takeBackend())
  assert.isFalse(one!.takeBackend())
  assert.isTrue(two!.takeBackend())
})

it("keeps a socket for the next attempt of a client whose last one has failed", () => {
  const budget = budgetOf(5)
  const [one, two] = takeAll(budget)
  assert.isTrue(one!.takeBackend())
  one!.releaseBackend()
  assert.isUndefined(budget.take())
  assert.isTrue(two!.takeBackend())
  assert.isTrue(one!.takeBackend())
})

it("counts a backend's socket until it is closed, also when its client's place was given back first", () => {
  const budget = budgetOf(2)
  const place = budget.take()!
  assert.isTrue(place.takeBackend())
  place.release()
  assert.isUndefined(budget.take())
  place.releaseBackend()
  assert.strictEqual(takeAll(budget).length, 1)
})

it("reserves no socket that is kept for a client's backend", () => {
  const budget = budgetOf(5)
  const client = budget.take()!
  const places = [1, 2, 3, 4].map(() => budget.reserve())
  assert.deepStrictEqual(
    places.map((place) => place === undefined),
    [false, false, false, true]
  )
  assert.isTrue(client.takeBackend())
  assert.isUndefined(budget.reserve())
  places[0]!.release()
  assert.isDefined(budget.reserve())
})

const takeAll = (budget: DescriptorBudget["Service"]): Array<ClientPlace> => {
  const places: Array<ClientPlace> = []
  for (let place = budget.take(); place !== undefined; place = budget.take()) places.push(place)
  return places
}
