/**
 * Write-through: decide → bind → commit → publish → answer. The state in memory is changed here alone.
 *
 * What is answered is on the disk and in force. When a commit fails, memory and database are as before; when its result
 * is not known, the state is read again before anything else is decided. Mutations that come together share a commit;
 * when that fails each is tried alone, so that one that the database refuses fails alone.
 */
import { Deferred, Effect, Exit, Result } from "effect"
import { FailedPrecondition, Internal } from "../admin/AdminError.ts"
import { diff, join, type Change } from "../snapshot/Change.ts"
import type { DatabaseError } from "../store/DatabaseError.ts"
import type { Conflict, Store, WriteFailed } from "../store/Store.ts"
import type { Decide } from "./ControlPlane.ts"
import type { BindFailed, Follower } from "./Follower.ts"
import { StateIndex } from "./StateIndex.ts"

/** What is in force. */
export interface Published {
  readonly revision: number
  readonly state: StateIndex
}

export interface Mutation {
  readonly decide: Decide<unknown, unknown>
  /** Where its caller waits. */
  readonly done: Deferred.Deferred<unknown, unknown>
}

/** Mutations that go into one commit, or need none, and what the commit makes of the state. */
interface Batch {
  readonly decided: ReadonlyArray<Decided>
  readonly changes: ReadonlyArray<Change>
  readonly state: StateIndex
  /** Listeners to bind before the commit; the batch is one mutation then. */
  readonly fresh: ReadonlyArray<string>
}

interface Decided {
  readonly mutation: Mutation
  /** What its caller is told when the batch is in force. */
  readonly answer: Exit.Exit<unknown, unknown>
}

export class Writer {
  readonly #store: Store["Service"]
  readonly #follower: Follower["Service"]
  #current: Published = { revision: 0, state: StateIndex.empty }
  /** Whether the database is known to hold what is in memory. */
  #certain = false

  constructor(store: Store["Service"], follower: Follower["Service"]) {
    this.#store = store
    this.#follower = follower
  }

  get current(): Published {
    return this.#current
  }

  /** Puts in force what the database holds. */
  readonly readAgain: Effect.Effect<void, DatabaseError | BindFailed> = Effect.suspend(() => this.#readAgain())

  readonly #readAgain = Effect.fn("Writer.readAgain")({ self: this }, function* () {
    const { revision, ...stored } = yield* this.#store.load
    yield* this.#follower.bind(stored.listeners.map(({ addr }) => addr))
    yield* this.#publish(revision, diff(this.#current.state.toState(), stored), StateIndex.of(stored))
    // Bound for a mutation that the database does not have.
    yield* this.#follower.unbind
    this.#certain = true
  })

  /** Answers every mutation, in their order. */
  readonly settle = Effect.fn("Writer.settle")({ self: this }, function* (mutations: ReadonlyArray<Mutation>) {
    yield* this.#settle(mutations).pipe(
      Effect.catchDefect((defect) => {
        this.#certain = false
        return Effect.logError("a mutation met a defect", defect)
      })
    )
    // Those that the defect left.
    const left = mutations.filter(({ done }) => !Deferred.isDoneUnsafe(done))
    if (left.length > 0) refuse(left, new Internal({ message: NOT_KNOWN }))
  })

  readonly #settle = Effect.fnUntraced({ self: this }, function* (mutations: ReadonlyArray<Mutation>) {
    if (!this.#certain) {
      const read = yield* Effect.result(this.readAgain)
      if (Result.isFailure(read)) {
        return refuse(mutations, new Internal({ message: `${read.failure.message}; ${NOTHING}` }))
      }
    }
    let rest = mutations
    while (rest.length > 0) {
      const batch = yield* decideBatch(this.#current.state, rest)
      yield* this.#force(batch)
      rest = rest.slice(batch.decided.length)
    }
  })

  /** Puts a batch in force and answers it. */
  readonly #force = Effect.fnUntraced({ self: this }, function* (batch: Batch): Effect.fn.Return<void> {
    if (batch.changes.length === 0) return answer(batch)
    if (batch.fresh.length > 0) {
      const bound = yield* Effect.result(this.#follower.bind(batch.fresh))
      if (Result.isFailure(bound))
        return refuse(mutationsOf(batch), new FailedPrecondition({ message: bound.failure.message }))
    }
    const { revision } = this.#current
    const committed = yield* Effect.result(this.#store.commit(revision, batch.changes))
    if (Result.isFailure(committed)) return yield* this.#failed(batch, committed.failure)
    yield* this.#publish(committed.success, join(batch.changes), batch.state)
    // A change may take back a listener that it has added.
    if (batch.fresh.length > 0) yield* this.#follower.unbind
    answer(batch)
  })

  readonly #failed = Effect.fnUntraced({ self: this }, function* (batch: Batch, error: Conflict | WriteFailed) {
    yield* Effect.logError("a commit failed").pipe(Effect.annotateLogs({ problem: error.message }))
    this.#certain = error._tag === "WriteFailed" && error.certain
    if (!this.#certain) {
      const read = yield* Effect.result(this.readAgain)
      if (Result.isFailure(read)) {
        const known = error._tag === "Conflict" ? `${read.failure.message}; ${NOTHING}` : NOT_KNOWN
        return refuse(mutationsOf(batch), new Internal({ message: `${error.message}; ${known}` }))
      }
      // The commit was done after all.
      if (diff(batch.state.toState(), this.#current.state.toState()).length === 0) return answer(batch)
    }
    yield* this.#follower.unbind
    const mutations = mutationsOf(batch)
    // Each by itself would wait for the other program as long again.
    const locked = error._tag === "WriteFailed" && error.locked
    if (mutations.length === 1 || locked) {
      return refuse(mutations, new Internal({ message: `${error.message}; ${NOTHING}` }))
    }
    for (const mutation of mutations) yield* this.#force(yield* decideBatch(this.#current.state, [mutation]))
  })

  #publish(revision: number, change: Change, state: StateIndex): Effect.Effect<void> {
    return Effect.map(this.#follower.publish(revision, change), () => {
      this.#current = { revision, state }
    })
  }
}

const NOTHING = "nothing was changed"
const NOT_KNOWN = "whether anything was changed is not known; look at what is there before you try again"

/** As many of the mutations, from the first, as may share a commit; one that adds listeners is alone. */
const decideBatch = Effect.fnUntraced(function* (
  current: StateIndex,
  mutations: ReadonlyArray<Mutation>
): Effect.fn.Return<Batch> {
  const decided: Array<Decided> = []
  const changes: Array<Change> = []
  let state = current
  for (const mutation of mutations) {
    const made = yield* Effect.exit(Effect.suspend(() => Effect.fromResult(mutation.decide(state))))
    const change = Exit.isSuccess(made) ? made.value.change : []
    const fresh = freshListeners(state, change)
    if (fresh.length > 0 && decided.length > 0) break
    decided.push({ mutation, answer: Exit.map(made, ({ answer }) => answer) })
    if (change.length === 0) continue
    changes.push(change)
    state = Result.getOrThrowWith(
      state.apply(change),
      (problem) => new Error(`A mutation was decided that ${problem}.`)
    )
    if (fresh.length > 0) return { decided, changes, state, fresh }
  }
  return { decided, changes, state, fresh: [] }
})

const freshListeners = (state: StateIndex, change: Change): ReadonlyArray<string> =>
  change.flatMap((edit) =>
    edit._tag === "PutListener" && state.listener(edit.listener.addr) === undefined ? [edit.listener.addr] : []
  )

const mutationsOf = ({ decided }: Batch): ReadonlyArray<Mutation> => decided.map(({ mutation }) => mutation)

const answer = ({ decided }: Batch): void => {
  for (const { answer, mutation } of decided) Deferred.doneUnsafe(mutation.done, answer)
}

const refuse = (mutations: ReadonlyArray<Mutation>, error: FailedPrecondition | Internal): void => {
  for (const { done } of mutations) Deferred.doneUnsafe(done, error)
}
