/** What a process finds in the database is what callers were told, also after a crash. */
import { History } from "../History.ts"
import type { Check } from "../SimRun.ts"

export const checkStored: Check = ({ events, plan: { site } }) => {
  const history = new History(events)
  let first = true
  return events.flatMap((event, index) => {
    if (event._tag !== "Stored") return []
    const wasFirst = first
    first = false
    if (wasFirst) return event.items.size > 0 && site.edge.listeners.length > 0 ? [] : ["nothing was stored at first"]
    return [...history.items].flatMap((item) => {
      const stored = event.items.get(item) ?? ""
      const possible = history.possible(item, index)
      return possible.has(stored)
        ? []
        : [
            `${item} is stored as "${stored}" after a crash, and may be ${[...possible].map((one) => `"${one}"`).join(", ")}`
          ]
    })
  })
}
