/**
 * Waiting for something to change, bounded: the one way in which these tests wait.
 *
 * Whoever changes something calls `notify`; whoever waits gives a probe, which is asked at once and at each change.
 * What does not come in time is a defect that names it, so that a test fails with the reason and never hangs.
 */
import { Effect } from "effect"

/** Far longer than anything here takes on a busy machine, and shorter than a test's own limit. */
export const WAIT_TIMEOUT = "20 seconds"

export class Watch {
  readonly #checks = new Set<() => void>()

  /** Something has changed. */
  notify(): void {
    for (const check of [...this.#checks]) check()
  }

  /** What `probe` finds, as soon as it finds something. */
  until<A>(what: string, probe: () => A | undefined): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      const check = () => {
        const found = probe()
        if (found === undefined) return
        this.#checks.delete(check)
        resume(Effect.succeed(found))
      }
      this.#checks.add(check)
      check()
      return Effect.sync(() => this.#checks.delete(check))
    }).pipe(within(what))
  }
}

/** Bounds a wait for `what`. */
export const within =
  (what: string) =>
  <A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.timeoutOrElse(wait, {
      duration: WAIT_TIMEOUT,
      orElse: () => Effect.die(new Error(`waited ${WAIT_TIMEOUT} for ${what}`))
    })
