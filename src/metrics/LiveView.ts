/**
 * The live page, and the events that move it: once a second what the metrics say, as small as a page can show.
 *
 * One reading serves every viewer, and without a viewer there is none. Viewers are few, and one that does not read gets
 * fewer events, until the server closes its idle connection. Nothing outside of the page's own origin is asked for, and
 * nothing is told that the metrics do not tell, but the routes themselves.
 */
import { Clock, Context, Effect, HashMap, Layer, Schedule, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { Drain } from "../control/Drain.ts"
import { DescriptorBudget } from "../net/DescriptorBudget.ts"
import { Network } from "../net/Network.ts"
import { Counters, type ListenerCounters } from "../observe/Counters.ts"
import type { RequestCounters } from "../observe/RequestCounters.ts"
import { OUTCOMES } from "../pipeline/Outcome.ts"
import { isL7, type CompiledRoute } from "../routing/RouteTable.ts"
import { Connections } from "../server/Connections.ts"
import { DataPlane } from "../server/DataPlane.ts"

export class LiveView extends Context.Service<
  LiveView,
  {
    /** What is at that path; `undefined`: nothing of the page's. */
    answer(path: string): Effect.Effect<HttpServerResponse.HttpServerResponse> | undefined
  }
>()("mc-proxy/metrics/LiveView") {
  static readonly layer = (version: string): Layer.Layer<LiveView, never, LiveSources> =>
    Layer.effect(LiveView, make(version))
}

/** Where the numbers are. */
export type LiveSources = Connections | Counters | DataPlane | DescriptorBudget | Drain | Network

/** Each takes one of the server's connections; more than half are left to collectors. */
export const VIEWERS_MAX = 12

/** As often as a person can follow. */
const INTERVAL = "1 second"

/** Viewers within so much of each other share a reading. */
const READING_TTL = "500 millis"

/** More rows than these nobody reads; the page says how many there are. */
const LISTENERS_SHOWN_MAX = 50
const ROUTES_SHOWN_MAX = 200
const CERTIFICATES_SHOWN_MAX = 50
const HOSTNAMES_SHOWN_MAX = 20

const make = Effect.fnUntraced(function* (version: string) {
  const sources = yield* Effect.context<LiveSources>()
  const files = yield* Effect.promise(loadFiles)
  const reading = yield* Effect.cachedWithTTL(
    Effect.provideContext(
      Effect.map(read, (told) => JSON.stringify({ version, ...told })),
      sources
    ),
    READING_TTL
  )
  let viewers = 0
  const enter = Effect.sync(() => viewers++)
  const leave = Effect.sync(() => viewers--)
  const events = Effect.suspend(() => {
    if (viewers >= VIEWERS_MAX) return Effect.succeed(TOO_MANY)
    const body = Stream.fromEffectSchedule(reading, Schedule.spaced(INTERVAL)).pipe(
      Stream.map((json) => `data: ${json}\n\n`),
      Stream.encodeText,
      Stream.onStart(enter),
      Stream.ensuring(leave)
    )
    return Effect.succeed(HttpServerResponse.stream(body, { contentType: "text/event-stream", headers: HEADERS }))
  })
  return LiveView.of({
    answer: (path) => {
      if (path === "/live/events") return events
      const file = files.get(path)
      return file && Effect.succeed(file)
    }
  })
})

/** Nothing but the origin's own files may run, look or be asked; nobody may frame the page or keep it. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store"
}

const TOO_MANY = HttpServerResponse.text("too many viewers\n", { status: 503 })

/** The page, and the charts' library as it was published. */
const loadFiles = async (): Promise<ReadonlyMap<string, HttpServerResponse.HttpServerResponse>> => {
  const charts = createRequire(import.meta.url)
  const own = (name: string) => new URL(`./live/${name}`, import.meta.url)
  const files: ReadonlyArray<readonly [path: string, file: string | URL, contentType: string]> = [
    ["/", own("page.html"), "text/html; charset=utf-8"],
    ["/live/page.css", own("page.css"), "text/css; charset=utf-8"],
    ["/live/page.js", own("page.js"), "text/javascript; charset=utf-8"],
    ["/live/icon.svg", own("icon.svg"), "image/svg+xml"],
    ["/live/uplot.css", charts.resolve("uplot/dist/uPlot.min.css"), "text/css; charset=utf-8"],
    ["/live/uplot.js", charts.resolve("uplot/dist/uPlot.iife.min.js"), "text/javascript; charset=utf-8"]
  ]
  const read = files.map(async ([path, file, contentType]) => {
    const response = HttpServerResponse.text(await readFile(file, "utf8"), { contentType, headers: HEADERS })
    return [path, response] as const
  })
  return new Map(await Promise.all(read))
}

/** What an event says; `live/page.js` shows it. Totals are since the start. */
const read = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.countBytes
  const counters = yield* Counters
  const budget = yield* DescriptorBudget
  const plane = yield* DataPlane
  const listeners = [...counters.listeners]
  // With 10,000 routes each of these takes some milliseconds.
  const hostnames = busiest(counters.hostnames)
  yield* Effect.yieldNow
  const certificates = certificatesOf(plane)
  yield* Effect.yieldNow
  const sum = (of: (counted: ListenerCounters) => number) =>
    listeners.reduce((total, [, counted]) => total + of(counted), 0)
  return {
    time: yield* Clock.currentTimeMillis,
    draining: (yield* Drain).began,
    active: connections.size,
    accepted: connections.openedTotal,
    bytesFromClient: sum(({ bytesFromClient }) => bytesFromClient),
    bytesFromBackend: sum(({ bytesFromBackend }) => bytesFromBackend),
    sockets: { open: budget.open, max: budget.socketsMax },
    outcomes: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, sum(({ closed }) => closed[outcome])])),
    blocked: counters.firewallBlocked(),
    listeners: {
      count: listeners.length,
      shown: listeners.slice(0, LISTENERS_SHOWN_MAX).map(([addr, { active }]) => ({ addr, active }))
    },
    hostnames,
    routes: routesOf(plane, (yield* Network).now()),
    certificates
  }
})

const routesOf = ({ state: { listeners } }: DataPlane["Service"], now: number) => {
  let count = 0
  const shown: Array<ReturnType<typeof routeOf>> = []
  for (const [addr, { routes }] of listeners) {
    count += HashMap.size(routes)
    for (const compiled of HashMap.values(routes)) {
      if (shown.length >= ROUTES_SHOWN_MAX) break
      shown.push(routeOf(addr, compiled, now))
    }
  }
  return { count, shown }
}

const routeOf = (listener: string, compiled: CompiledRoute, now: number) => ({
  listener,
  hostname: compiled.route.hostname,
  backend: compiled.route.backend,
  mode: compiled.route.mode,
  state: stateOf(compiled, now),
  dials: compiled.dials.count,
  dialMs: compiled.dials.sumMs
})

/** What the operator has to look after comes first. */
const stateOf = (compiled: CompiledRoute, now: number): string => {
  if (isL7(compiled) && compiled.certificate.context === undefined) return "no certificate"
  if (compiled.backendAlarm.isRecent(now)) return "unreachable"
  return compiled.dials.count === 0 ? "not asked for yet" : "reachable"
}

/** Those that end first, and before them the routes that have none. */
const certificatesOf = ({ state: { listeners } }: DataPlane["Service"]) => {
  const all: Array<{ readonly listener: string; readonly hostname: string; readonly notAfter: number }> = []
  for (const [listener, { routes }] of listeners) {
    for (const compiled of HashMap.values(routes)) {
      if (!isL7(compiled)) continue
      all.push({ listener, hostname: compiled.route.hostname, notAfter: compiled.certificate.notAfter ?? 0 })
    }
  }
  all.sort((one, other) => one.notAfter - other.notAfter)
  return { count: all.length, shown: all.slice(0, CERTIFICATES_SHOWN_MAX) }
}

/** The hostnames on L7 with the most requests. */
const busiest = (hostnames: ReadonlyMap<string, RequestCounters>) => {
  const all = [...hostnames].map(([hostname, counted]) => ({ hostname, counted, requests: counted.durations.count }))
  all.sort((one, other) => other.requests - one.requests)
  return {
    count: all.length,
    shown: all.slice(0, HOSTNAMES_SHOWN_MAX).map(({ counted, hostname, requests }) => ({
      hostname,
      requests,
      durationMs: counted.durations.sumMs,
      codes: Object.fromEntries(counted.responses)
    }))
  }
}
