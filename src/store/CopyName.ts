/** How a copy of a database is called where its operator gives no name: `mc-proxy-<UTC time>.db`. */
import { DateTime, Effect } from "effect"

/** Tells copies apart that are made in different seconds, and sorts by time. */
export const copyName: Effect.Effect<string> = Effect.map(DateTime.now, (now) => {
  const time = DateTime.formatIso(now).replace(/\.\d+Z$/, "Z")
  return `mc-proxy-${time.replace(/[-:]/g, "")}.db`
})
