/** A store in memory whose commits go wrong as they are told to. */
import { Effect } from "effect"
import { DatabaseError } from "../../src/store/DatabaseError.ts"
import { Conflict, WriteFailed, type Store } from "../../src/store/Store.ts"

/**
 * `refused`: nothing is changed, and that is known. `lost`: nothing is changed, and that is not known. `done`: it is
 * changed, and that is not known. `conflict`: somebody else was first.
 */
export type Fault = "refused" | "lost" | "done" | "conflict"

/** Takes one fault for each commit, until there are no more; a `true` among `loads` is a load that fails. */
export const faultyStore = (
  store: Store["Service"],
  faults: Array<Fault | undefined>,
  loads: Array<boolean> = []
): Store["Service"] => ({
  load: Effect.suspend(() =>
    loads.shift() === true ? Effect.fail(DatabaseError.of("test.db", "cannot be read")) : store.load
  ),
  commit: (expected, changes) =>
    Effect.suspend(() => {
      const failed = (certain: boolean) => new WriteFailed({ problem: "test.db: the disk has failed", certain })
      switch (faults.shift()) {
        case undefined:
          return store.commit(expected, changes)
        case "refused":
          return failed(true)
        case "lost":
          return failed(false)
        case "done":
          return Effect.andThen(store.commit(expected, changes), failed(false))
        case "conflict":
          return new Conflict({ expected, actual: expected + 7 })
      }
    })
})
