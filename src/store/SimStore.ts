/**
 * A store in memory, for simulations: its disk is slow, refuses or loses power at the statement that is chosen.
 *
 * It keeps what a database on disk would: a crash loses exactly what was not committed. A life is one process that has
 * the database open; after a crash whatever that life still asks is interrupted, as its process was, and the next one
 * finds what was kept. Time is Effect's `Clock`, so that under a `TestClock` none passes.
 */
import { Effect, Result } from "effect"
import { apply, type Change, type State } from "../snapshot/Change.ts"
import type { Snapshot } from "../snapshot/Snapshot.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { Conflict, type Store, WriteFailed } from "./Store.ts"

/** One step of a commit, or a load. A commit is `begin`, an `edit` for each edit of each change, and `commit`. */
export interface Statement {
  readonly step: "load" | "begin" | "edit" | "commit"
  /** Counts every statement since the store was made, from 0. */
  readonly number: number
}

/**
 * What a statement meets. `Slow` is it, and goes on. `Failed` is rolled back, and known to be. `Unknown` at a `commit`
 * fails without saying whether it was done; elsewhere it is `Failed`. `Crash` ends the life: `done` is whether a
 * `commit` had reached the disk.
 */
export type StoreFault =
  | { readonly _tag: "Slow"; readonly ms: number }
  | { readonly _tag: "Failed" }
  | { readonly _tag: "Unknown"; readonly done: boolean }
  | { readonly _tag: "Crash"; readonly done: boolean }

export class SimStore {
  readonly #faultAt: (statement: Statement) => StoreFault | undefined
  #stored: Snapshot
  #statements = 0
  /** The life that has the database open. */
  #life = 0

  constructor(state: State, faultAt: (statement: Statement) => StoreFault | undefined = () => undefined) {
    this.#stored = { revision: 1, ...state }
    this.#faultAt = faultAt
  }

  /** What is on the disk. */
  get stored(): Snapshot {
    return this.#stored
  }

  /** Ends the life that has the database open, as a `Crash` does: between two statements. */
  crash(): void {
    this.#life++
  }

  /** A new life opens the database; the one before has crashed, or does now. */
  open(): Store["Service"] {
    const life = ++this.#life
    const inLife = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => (life === this.#life ? effect : Effect.interrupt))
    return {
      load: inLife(Effect.flatMap(this.#meet("load", inLife), (failed) => this.#loaded(failed))),
      commit: (expected, changes) => inLife(Effect.uninterruptible(this.#commit(expected, changes, inLife)))
    }
  }

  #loaded(failed: Failure | undefined): Effect.Effect<Snapshot, DatabaseError> {
    return failed === undefined ? Effect.succeed(this.#stored) : Effect.fail(DatabaseError.of(NAME, "cannot be read"))
  }

  /** Goes on with what makes a statement fail, in the life that it was begun in. */
  #meet(step: Statement["step"], inLife: InLife): Effect.Effect<Failure | undefined> {
    return Effect.suspend(() => {
      const fault = this.#faultAt({ step, number: this.#statements++ })
      if (fault?._tag === "Slow") return Effect.andThen(Effect.sleep(fault.ms), inLife(Effect.undefined))
      if (fault?._tag !== "Crash" || step === "commit") return Effect.succeed(fault)
      this.crash()
      return Effect.interrupt
    })
  }

  readonly #commit = Effect.fnUntraced(
    { self: this },
    function* (
      expected: number,
      changes: ReadonlyArray<Change>,
      inLife: InLife
    ): Effect.fn.Return<number, Conflict | WriteFailed> {
      const failed = (certain: boolean) => new WriteFailed({ problem: `${NAME}: the disk has failed`, certain })
      if ((yield* this.#meet("begin", inLife)) !== undefined) return yield* failed(true)
      const { revision: actual, ...before } = this.#stored
      if (actual !== expected) return yield* new Conflict({ expected, actual })
      for (const _ of changes.flat()) {
        if ((yield* this.#meet("edit", inLife)) !== undefined) return yield* failed(true)
      }
      const after = apply(before, changes.flat())
      if (Result.isFailure(after))
        return yield* new WriteFailed({ problem: `${NAME}: ${after.failure}`, certain: true })
      const fault = yield* this.#meet("commit", inLife)
      if (fault?._tag === "Failed") return yield* failed(true)
      const revision = actual + changes.length
      if (fault === undefined || fault.done) this.#stored = { revision, ...after.success }
      if (fault?._tag === "Unknown") return yield* failed(false)
      if (fault?._tag !== "Crash") return revision
      this.crash()
      return yield* Effect.interrupt
    }
  )
}

/** A fault that a statement does not get over. */
type Failure = Exclude<StoreFault, { readonly _tag: "Slow" }>

type InLife = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** In messages, where a database has its path. */
const NAME = "the simulated database"
