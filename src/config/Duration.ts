/** Durations as the config file writes them: `"300ms"`, `"5s"`, `"1m30s"`, `"2h"`; in the proxy, milliseconds. */
import { Result } from "effect"

/**
 * The milliseconds of whole numbers with descending units, each unit at most once; no sign, no fraction, no spaces.
 * Fails with the end of a sentence.
 */
export const parseDuration = (input: string): Result.Result<number, string> => {
  const match = DURATION.exec(input)
  if (match === null || input === "") return Result.fail('is no duration such as "300ms", "5s", "1m30s" or "2h"')
  const [, hours = "0", minutes = "0", seconds = "0", milliseconds = "0"] = match
  return Result.succeed(
    Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS + Number(seconds) * SECOND_MS + Number(milliseconds)
  )
}

/** The shortest text that `parseDuration` reads as `ms`. */
export const formatDuration = (ms: number): string => {
  const parts: ReadonlyArray<readonly [count: number, unit: string]> = [
    [Math.floor(ms / HOUR_MS), "h"],
    [Math.floor((ms % HOUR_MS) / MINUTE_MS), "m"],
    [Math.floor((ms % MINUTE_MS) / SECOND_MS), "s"],
    [ms % SECOND_MS, "ms"]
  ]
  const written = parts.filter(([count]) => count > 0)
  return written.length === 0 ? "0s" : written.map(([count, unit]) => `${count}${unit}`).join("")
}

export const SECOND_MS = 1000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS

// Nine digits of the largest unit are still a safe integer of milliseconds.
const DURATION = /^(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?$/
