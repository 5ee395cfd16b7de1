/** Everything about a simulation that is decided before it begins, from its seed. Plain values. */
import type { RateLimit } from "../../firewall/RateLimiter.ts"
import type { Link } from "../../net/sim/Link.ts"
import type { Settings } from "../../pipeline/Settings.ts"
import { Draw } from "../Draw.ts"
import { drawAdmin, type AdminPlan } from "./AdminPlan.ts"
import { drawClient, drawReturning, type ClientPlan } from "./ClientPlan.ts"
import { drawFaults, type FaultPlan } from "./FaultPlan.ts"
import { drawSite, type Site } from "./Site.ts"

export interface Plan {
  readonly seed: number
  /** Fibers run in an order that the seed draws. */
  readonly shuffled: boolean
  readonly link: Partial<Link>
  readonly settings: SimSettings
  readonly rateLimit: RateLimit
  /** The edge's descriptor budget. */
  readonly socketsMax: number
  readonly site: Site
  readonly clients: ReadonlyArray<ClientPlan>
  readonly admin: ReadonlyArray<AdminPlan>
  readonly faults: FaultPlan
  /** When the edge is told to stop. */
  readonly shutdownAtMs: number
  readonly shutdownTimeoutMs: number
}

/** More than there are clients; a million would take longer to make than all the rest. */
const ADMISSIONS_MAX = 1024

/** How many come again at the moment at which a rate limit's window lets go of their source. */
const RETURNING = 8

const drawRateLimit = (draw: Draw): RateLimit =>
  draw.chance(60)
    ? { limit: draw.integer(1, 4), windowMs: 10 * draw.integer(10, 150), admissionsMax: ADMISSIONS_MAX }
    : { limit: 0, windowMs: 1000 }

export type SimSettings = Pick<
  Settings["Service"],
  | "helloTimeoutMs"
  | "helloBytesMax"
  | "connectTimeoutMs"
  | "handshakeTimeoutMs"
  | "headerTimeoutMs"
  | "responseTimeoutMs"
  | "idleTimeoutMs"
  | "halfCloseTimeoutMs"
>

export const drawPlan = (seed: number): Plan => {
  const draw = new Draw(`plan ${seed}`)
  const spanMs = 10 * draw.integer(50, 300)
  const rateLimit = drawRateLimit(draw)
  const site = drawSite(draw)
  const settings: SimSettings = {
    helloTimeoutMs: draw.integer(200, 600),
    helloBytesMax: 4096,
    connectTimeoutMs: draw.integer(150, 400),
    handshakeTimeoutMs: draw.integer(200, 600),
    headerTimeoutMs: draw.integer(200, 600),
    // Less than the one for idleness, which would end all requests of the connection.
    responseTimeoutMs: draw.integer(200, 500),
    idleTimeoutMs: draw.integer(700, 1500),
    halfCloseTimeoutMs: draw.integer(300, 600)
  }
  const clients = draw.times(draw.integer(55, 80), (i) => drawClient(draw, i, spanMs, settings.helloBytesMax))
  const returning = draw.times(rateLimit.limit === 0 ? 0 : RETURNING, (i) =>
    drawReturning(draw, draw.pick(clients), clients.length + i, rateLimit.windowMs, settings.helloBytesMax)
  )
  return {
    seed,
    shuffled: draw.chance(50),
    link: {
      latencyMs: { min: 0, max: draw.pick([0, 1, 3, 8]) },
      segmentBytes: { min: draw.pick([1, 20, 200]), max: draw.integer(200, 1500) },
      sendBytesMax: draw.integer(4096, 32_768),
      receiveBytesMax: draw.integer(4096, 32_768)
    },
    settings,
    rateLimit,
    socketsMax: draw.chance(30) ? draw.integer(8, 20) : 1000,
    site,
    clients: [...clients, ...returning],
    admin: draw.times(draw.integer(22, 40), (i) => drawAdmin(draw, i, spanMs, site)),
    faults: drawFaults(draw, spanMs),
    shutdownAtMs: draw.chance(50) ? draw.integer(Math.floor(spanMs / 2), spanMs) : spanMs + draw.integer(0, 3000),
    // Most often less than the patience of those who are there.
    shutdownTimeoutMs: draw.chance(70) ? draw.integer(20, 300) : draw.integer(300, 1500)
  }
}
