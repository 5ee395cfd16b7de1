/** Finds the name that somebody meant. */

/**
 * The candidate with the fewest typing errors from `input`, the first of equals; `undefined` where each has more than
 * `distanceMax` allows it.
 */
export const nearest = (
  input: string,
  candidates: Iterable<string>,
  distanceMax: (candidate: string) => number
): string | undefined => {
  let best: string | undefined
  let bestDistance = Infinity
  for (const candidate of candidates) {
    const limit = Math.min(distanceMax(candidate), bestDistance - 1)
    // The difference in length is a lower bound, and spares the table for a name of megabytes.
    if (Math.abs(candidate.length - input.length) > limit) continue
    const distance = typingDistance(input, candidate)
    if (distance > limit) continue
    best = candidate
    bestDistance = distance
  }
  return best
}

/** How many insertions, deletions, replacements and swaps of neighbours lie between two names (optimal alignment). */
const typingDistance = (a: string, b: string): number => {
  let beforeLast: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let distance = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) distance = Math.min(distance, beforeLast[j - 2]! + 1)
      row.push(distance)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
