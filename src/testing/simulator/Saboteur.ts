/** Makes go wrong what the plan says, when it says so. */
import { Deferred, Effect } from "effect"
import { setReachable } from "./Backend.ts"
import type { TimedFault } from "./FaultPlan.ts"
import { hostname } from "./Parsed.ts"
import { type BackendPlan } from "./Site.ts"
import { nameOf } from "./ClientPlan.ts"
import type { World } from "./World.ts"

export const runFault = Effect.fnUntraced(function* (world: World, fault: TimedFault) {
  yield* Effect.sleep(fault.atMs)
  const undo = begin(world, fault)
  if (undo === undefined) return
  yield* Effect.sleep(fault.forMs)
  undo()
})

/** Gives what ends it; `undefined` when it is over at once, or has met nobody. */
const begin = (world: World, { forMs, kind, target, atMs }: TimedFault): (() => void) | undefined => {
  const { clients, edgeHost, journal, network, plan } = world
  const note = (subject: string) => journal.note({ _tag: "Fault", kind, until: atMs + forMs, subject })
  const { backends, webBackends } = plan.site
  const reachable = backends.slice(0, 5)
  const any = [...reachable, ...webBackends]
  const backend = any[target % any.length]!
  const web = webBackends[target % webBackends.length]!
  switch (kind) {
    case "crash":
      if (world.life === undefined) return
      note("")
      return void Deferred.doneUnsafe(world.life.lost, Effect.void)
    case "client_reset": {
      const [number, peer] = [...clients][target % Math.max(1, clients.size)] ?? []
      if (number === undefined || peer === undefined) return
      note(nameOf(plan.clients[number]!))
      return (peer.reset(), undefined)
    }
    case "backend_reset": {
      const open = world.visits.filter(({ peer }) => peer.connection.socket.state === "open")
      const visit = open[target % Math.max(1, open.length)]
      if (visit === undefined) return
      note(`${visit.backend.name} ${world.visits.indexOf(visit)}`)
      return (visit.peer.reset(), undefined)
    }
    case "backend_refused":
    case "backend_unreachable":
    case "backend_silent":
      note(backend.name)
      network.setFate(backend.address, FATES[kind])
      return () => network.setFate(backend.address, undefined)
    case "web_reset":
      note(web.name)
      for (const visit of world.webVisits) if (visit.backend === web) visit.peer.reset()
      return
    case "web_stalling":
    case "web_failing":
      note(web.name)
      world.webTroubles.set(web.name, kind)
      return () => void world.webTroubles.delete(web.name)
    case "names_silent":
      note("")
      silenceNames(world, reachable)
      return () => reachable.forEach((plan) => setReachable(world, plan))
    case "descriptors_gone":
      note("")
      edgeHost.socketsMax = edgeHost.openSockets + (target % 4)
      return () => void (edgeHost.socketsMax = Infinity)
  }
}

const FATES = { backend_refused: "refused", backend_unreachable: "unreachable", backend_silent: "silent" } as const

const silenceNames = ({ network }: World, backends: ReadonlyArray<BackendPlan>): void => {
  for (const { name } of backends) {
    if (name.includes("test")) network.setName(hostname(name.slice(0, name.indexOf(":"))), { _tag: "Silence" })
  }
}
