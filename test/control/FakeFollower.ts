/** A data plane that keeps what is published, and has no connections. */
import { assert } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { BindFailed, type Follower } from "../../src/control/Follower.ts"
import { apply, EMPTY, type State } from "../../src/snapshot/Change.ts"

export class FakeFollower {
  state: State = EMPTY
  revision = 0
  readonly bound = new Set<string>()
  /** Listeners that cannot be bound. */
  readonly taken = new Set<string>()

  readonly service: Follower["Service"] = {
    bind: (addrs) =>
      Effect.suspend(() => {
        const taken = addrs.find((addr) => this.taken.has(addr) && !this.bound.has(addr))
        if (taken !== undefined) return Effect.fail(new BindFailed({ message: `${taken} is in use` }))
        for (const addr of addrs) this.bound.add(addr)
        return Effect.void
      }),
    unbind: Effect.sync(() => this.#closeOthers()),
    publish: (revision, edits) =>
      Effect.sync(() => {
        const change = [...edits]
        assert.isAtLeast(revision, this.revision)
        this.revision = revision
        this.state = Result.getOrThrow(apply(this.state, change))
        for (const { addr } of this.state.listeners) assert.isTrue(this.bound.has(addr), `${addr} was not bound`)
        for (const edit of change) if (edit._tag === "RemoveListener") this.#closeOthers()
      }),
    status: Effect.sync(() => ({
      startedAt: 0,
      connectionsTotal: 0,
      connectionsActive: 0,
      activeByListener: {},
      certificateProblems: [],
      draining: false
    })),
    connections: () => Effect.succeed([]),
    events: Stream.empty,
    close: () => Effect.succeed(false),
    explain: () => Effect.undefined,
    reload: Effect.succeed({ reloaded: [], failed: [] })
  }

  #closeOthers(): void {
    for (const addr of this.bound) {
      if (!this.state.listeners.some((listener) => listener.addr === addr)) this.bound.delete(addr)
    }
  }
}
