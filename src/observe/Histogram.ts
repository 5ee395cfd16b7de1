/** Counts durations by how long they took: one addition each, and a bound more is one more number for a series. */
export class DurationHistogram {
  /** Upper bounds of the buckets, inclusive and ascending. */
  readonly boundsMs: ReadonlyArray<number>
  /** One count a bucket, not cumulative; the last is for what is beyond every bound. */
  readonly counts: Float64Array
  sumMs = 0

  constructor(boundsMs: ReadonlyArray<number>) {
    this.boundsMs = boundsMs
    this.counts = new Float64Array(boundsMs.length + 1)
  }

  observe(ms: number): void {
    let bucket = 0
    while (bucket < this.boundsMs.length && ms > this.boundsMs[bucket]!) bucket++
    this.counts[bucket]!++
    this.sumMs += ms
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }
}
