/**
 * Which of the source has run, by V8's block coverage of this very process.
 *
 * It is kept by character of the source: V8 leaves out a block that ran as often as the one around it, so that blocks
 * cannot be compared from run to run. Only the proxy's own code and its TOML parser count. Reading it takes two
 * milliseconds whatever has run, so whoever measures measures many runs at once.
 */
import { Session, type Profiler } from "node:inspector"

/** By script, 1 for each character of what ran. */
export type Covered = ReadonlyMap<string, Uint8Array>

export class Coverage {
  readonly #session = new Session()
  readonly #known = new Map<string, Uint8Array>()

  constructor() {
    this.#session.connect()
    this.#session.post("Profiler.enable")
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true })
    this.measure(() => undefined)
  }

  /** How many characters ran in all that was added. */
  get size(): number {
    return [...this.#known.values()].reduce((sum, ran) => sum + ran.reduce((total, has) => total + has, 0), 0)
  }

  /** What has run since the last time. */
  measure(run: () => void): Covered {
    run()
    let taken: ReadonlyArray<Profiler.ScriptCoverage> = []
    // A session of one's own process answers before `post` returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, { result }) => {
      if (error !== null) throw error
      taken = result.filter(({ url }) => COUNTED.some((folder) => url.startsWith(folder)))
    })
    return new Map(taken.map(({ functions, url }) => [url, charactersOf(functions)]))
  }

  /** Whether something ran that has in none of what was added. */
  isNew(covered: Covered): boolean {
    return [...covered].some(([url, ran]) => {
      const known = this.#known.get(url) ?? NOTHING
      for (let at = 0; at < ran.length; at++) if (ran[at] === 1 && known[at] !== 1) return true
      return false
    })
  }

  add(covered: Covered): void {
    for (const [url, ran] of covered) {
      const known = this.#known.get(url) ?? NOTHING
      const both = new Uint8Array(Math.max(ran.length, known.length))
      both.set(known)
      for (let at = 0; at < ran.length; at++) if (ran[at] === 1) both[at] = 1
      this.#known.set(url, both)
    }
  }

  close(): void {
    this.#session.disconnect()
  }
}

/** An inner function and an inner block come behind those around them. */
const charactersOf = (functions: ReadonlyArray<Profiler.FunctionCoverage>): Uint8Array => {
  const ranges = functions.flatMap(({ ranges }) => ranges)
  const characters = new Uint8Array(Math.max(...ranges.map(({ endOffset }) => endOffset)))
  for (const { count, endOffset, startOffset } of ranges) characters.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  return characters
}

const NOTHING = new Uint8Array(0)

const COUNTED = ["src/", "node_modules/smol-toml/"].map((folder) => new URL(`../../${folder}`, import.meta.url).href)
