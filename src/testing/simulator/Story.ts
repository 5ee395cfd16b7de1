/** A simulation told to people: its events in order, without the traffic of those whom nothing is wrong with. */
import { formatEvent, type SimEvent } from "./Journal.ts"
import { CLIENT_PORT, numberOf } from "./ClientPlan.ts"
import type { Simulation } from "./Simulate.ts"

export const storyOf = ({ events, violations }: Simulation): ReadonlyArray<string> => {
  const suspects = new Set(
    violations.flatMap((text) => [...text.matchAll(/client (\d+)/g)].map(([, digits]) => Number(digits)))
  )
  const connections = new Set(events.flatMap((event) => (isBy(event, suspects) ? [event.event.connection] : [])))
  return events.filter((event) => event._tag !== "Network" || connections.has(event.event.connection)).map(formatEvent)
}

type NetworkEvent = Extract<SimEvent, { readonly _tag: "Network" }>

/** Whether one of the clients says here which connection is its own. */
const isBy = (event: SimEvent, clients: ReadonlySet<number>): event is SimEvent & NetworkEvent =>
  event._tag === "Network" &&
  event.event.subject.includes(`:${CLIENT_PORT / 1000}`) &&
  clients.has(numberOf(event.event.subject))
