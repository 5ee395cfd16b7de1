/** Chance from a seed: the same seed draws the same, on any machine. What is drawn depends on the order of drawing. */
import { Effect, Random } from "effect"
import { drawInteger } from "../net/sim/Link.ts"

export class Draw {
  readonly #random: Random.Random

  constructor(seed: string | number) {
    this.#random = Effect.runSync(Random.withSeed(Random.Random, seed))
  }

  /** From `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return drawInteger(this.#random, { min, max })
  }

  /** True in `percent` of a hundred. */
  chance(percent: number): boolean {
    return this.#random.nextDoubleUnsafe() * 100 < percent
  }

  pick<A>(items: ReadonlyArray<A>): A {
    return items[this.integer(0, items.length - 1)]!
  }

  /** One of the keys, as often as its weight says. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const entries = Object.entries<number>(weights) as Array<[Key, number]>
    let left = this.#random.nextDoubleUnsafe() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [key, weight] of entries) if ((left -= weight) < 0) return key
    return entries.at(-1)![0]
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.integer(0, 255))
  }

  times<A>(count: number, draw: (index: number) => A): ReadonlyArray<A> {
    return Array.from({ length: count }, (_, index) => draw(index))
  }
}
