/** What is counted of the requests for one hostname: plain numbers, which a metrics endpoint reads. */
import type { L7Policy } from "../snapshot/Snapshot.ts"
import { DurationHistogram } from "./Histogram.ts"

export class RequestCounters {
  /** Responses by the status that was sent; of the proxy's own answers to gRPC, by the one that they stand for. */
  readonly responses = new Map<number, number>()
  readonly policyBlocked: Record<L7Policy["type"], number> = { block_user_agent: 0, require_header: 0 }
  /** From a request's head to the end of its response. */
  readonly durations = new DurationHistogram(REQUEST_BUCKETS_MS)

  answered(status: number, durationMs: number): void {
    this.responses.set(status, (this.responses.get(status) ?? 0) + 1)
    this.durations.observe(durationMs)
  }
}

/** Few, since each hostname has a series of each: from an answer out of memory to a slow download. */
export const REQUEST_BUCKETS_MS = [2.5, 10, 50, 250, 1000, 5000, 30_000] as const
