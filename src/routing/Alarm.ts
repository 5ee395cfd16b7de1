/** Keeps a warning that every connection could raise from filling the log. */
export class Alarm {
  #raisedAt = -Infinity

  /** Whether to warn now; `now` is in milliseconds of any clock that only goes forward. */
  raise(now: number): boolean {
    if (now - this.#raisedAt < ALARM_INTERVAL_MS) return false
    this.#raisedAt = now
    return true
  }

  /** Whether it was raised within the last minute. */
  isRecent(now: number): boolean {
    return now - this.#raisedAt < ALARM_INTERVAL_MS
  }
}

/** Often enough to be seen by whoever looks, seldom enough to leave room for everything else. */
export const ALARM_INTERVAL_MS = 60_000
