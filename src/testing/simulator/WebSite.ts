/** The part of a site that speaks HTTP: routes that end TLS at the edge, the backends behind them, their policies. */
import type { SocketAddress } from "../../net/SocketAddress.ts"
import type { Hostname } from "../../snapshot/Hostname.ts"
import type { L7Policy, L7Route } from "../../snapshot/Snapshot.ts"
import type { Draw } from "../Draw.ts"
import { hostname, ip } from "./Parsed.ts"

export interface WebBackendPlan {
  /** As a route names it. */
  readonly name: string
  readonly address: SocketAddress
  readonly protocol: L7Route["backendProtocol"]
  readonly tls: boolean
  /** On HTTP/2 it says so by its SETTINGS (RFC 8441 3). */
  readonly takesWebSockets: boolean
}

export const WEB_HOSTNAMES = Array.from({ length: 5 }, (_, i) => `w${i}.test`)

/** The agents and the field that `POLICIES` are about. */
export const BAD_AGENTS = ["badbot", "curl"] as const
export const REQUIRED_FIELD = "x-token"

/** Policies that come and go. */
export const POLICIES: ReadonlyArray<L7Policy> = [
  ...BAD_AGENTS.map((value) => ({ type: "block_user_agent", value }) as const),
  { type: "require_header", value: REQUIRED_FIELD }
]

/** What the routes name; `SimProxy` has the files. */
export const CERTIFICATE_FILE = "/certificates/web.pem"
export const KEY_FILE = "/certificates/web.key"

/** One of each way to speak at least. */
export const drawWebBackends = (draw: Draw): ReadonlyArray<WebBackendPlan> =>
  draw.times(WEB_BACKENDS, (i) => {
    const address = { ip: ip(`10.2.0.${i + 1}`), port: 8080 }
    return {
      name: `${address.ip.text}:${address.port}`,
      address,
      protocol: i % 2 === 0 ? "h2" : "http/1.1",
      tls: i < 2 ? i === 0 : draw.chance(50),
      takesWebSockets: i % 2 === 1 || draw.chance(70)
    }
  })

const WEB_BACKENDS = 4

export const webRouteTo = (
  name: Hostname,
  { name: backend, protocol, tls }: WebBackendPlan,
  sendProxyProtocol: boolean,
  l7Policies: ReadonlyArray<L7Policy>
): L7Route => ({
  mode: "l7",
  hostname: name,
  backend,
  sendProxyProtocol,
  tlsCert: CERTIFICATE_FILE,
  tlsKey: KEY_FILE,
  backendProtocol: protocol,
  backendTls: tls,
  backendCa: "",
  backendServerName: "",
  l7Policies
})

export const drawWebRoute = (draw: Draw, name: string, backends: ReadonlyArray<WebBackendPlan>): L7Route =>
  webRouteTo(
    hostname(name),
    draw.pick(backends),
    draw.chance(50),
    POLICIES.filter(() => draw.chance(15))
  )
