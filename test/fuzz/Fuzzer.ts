/**
 * Looks for bytes for which something does not hold that should: mutates a corpus, and keeps what runs code, or comes
 * to a result, that nothing before did. It knows the code by its coverage alone, and needs nothing that Node has not.
 */
import { Coverage } from "./Coverage.ts"
import { drawFrom, Mutator, replaced } from "./Mutator.ts"
import type { Target } from "./Target.ts"

export interface Fuzzed {
  /** How many inputs were tried, those of the corpus included. */
  readonly tried: number
  /** How many characters of the source they ran. */
  readonly reached: number
  /** The fewest found that, with the corpus, run all that was seen to run. */
  readonly found: ReadonlyArray<Uint8Array>
  readonly failure: Failure | undefined
}

/** An input that the check does not pass, as short as it could be made. */
export interface Failure {
  readonly bytes: Uint8Array
  readonly error: unknown
}

export interface FuzzOptions {
  readonly seed: number
  readonly seconds: number
}

/** Ends with the first failure, or when the time is over. */
export const fuzz = (target: Target, corpus: ReadonlyArray<Uint8Array>, { seconds, seed }: FuzzOptions): Fuzzed => {
  const search = new Search(target)
  const mutator = new Mutator(drawFrom(seed), target.dictionary, target.bytesMax)
  for (const bytes of corpus) if (search.failure === undefined) search.try([bytes])
  const known = search.found.length
  const end = performance.now() + seconds * 1000
  while (search.failure === undefined && performance.now() < end) {
    search.try(Array.from({ length: BATCH }, () => mutator.mutate(search.found)))
  }
  search.close()
  const { failure, found, reached, tried } = search
  if (failure === undefined) return { tried, reached, found: fewestOf(target, corpus, found.slice(known)), failure }
  return { tried, reached, found: [], failure: { ...failure, bytes: shortestOf(target, failure.bytes) } }
}

/** Of so many inputs the coverage is read at once, and of each half of them when there is something new. */
const BATCH = 256

class Search {
  readonly found: Array<Uint8Array> = []
  tried = 0
  failure: Failure | undefined
  readonly #coverage = new Coverage()
  readonly #results = new Set<string>()
  readonly #target: Target

  constructor(target: Target) {
    this.#target = target
  }

  get reached(): number {
    return this.#coverage.size
  }

  try(inputs: ReadonlyArray<Uint8Array>): void {
    this.tried += inputs.length
    this.#halve(inputs)
  }

  /** Runs the inputs, then again each half of those that did something new, until it is known which did. */
  #halve(inputs: ReadonlyArray<Uint8Array>): void {
    const results = new Set<string>()
    const covered = this.#coverage.measure(() => {
      for (const bytes of inputs) if (this.failure === undefined) this.#check(bytes, results)
    })
    if (this.failure !== undefined) return
    const isKnown = [...results].every((result) => this.#results.has(result))
    if (isKnown && !this.#coverage.isNew(covered)) return
    if (inputs.length > 1) {
      this.#halve(inputs.slice(0, inputs.length >> 1))
      this.#halve(inputs.slice(inputs.length >> 1))
      return
    }
    this.#coverage.add(covered)
    for (const result of results) this.#results.add(result)
    this.found.push(...inputs)
  }

  close(): void {
    this.#coverage.close()
  }

  #check(bytes: Uint8Array, results: Set<string>): void {
    try {
      results.add(this.#target.check(bytes))
    } catch (error) {
      this.failure = { bytes, error }
    }
  }
}

/** The shorter go first, so that of several that find the same the shortest stays. */
const fewestOf = (target: Target, corpus: ReadonlyArray<Uint8Array>, found: ReadonlyArray<Uint8Array>) => {
  if (found.length === 0) return found
  const search = new Search(target)
  for (const bytes of corpus) search.try([bytes])
  const known = search.found.length
  for (const bytes of found.toSorted((a, b) => a.length - b.length)) search.try([bytes])
  search.close()
  return search.found.slice(known)
}

/** Without every piece that the failure does not need, long ones first. */
const shortestOf = (target: Target, failing: Uint8Array): Uint8Array => {
  let bytes = failing
  for (let length = bytes.length; length >= 1; length >>= 1) {
    for (let at = 0; at < bytes.length;) {
      const shorter = replaced(bytes, at, at + length, new Uint8Array(0))
      if (fails(target, shorter)) bytes = shorter
      else at += length
    }
  }
  return bytes
}

const fails = (target: Target, bytes: Uint8Array): boolean => {
  try {
    target.check(bytes)
    return false
  } catch {
    return true
  }
}
