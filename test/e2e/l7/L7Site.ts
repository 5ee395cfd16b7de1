/** The built proxy with routes on L7, each with a certificate of the tests' own authority. */
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { SERVER } from "../../l7/Requests.ts"
import { identityOf } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { ADMIN, METRICS, startProxyIn, type ProxyConfig, type ProxyOptions } from "../harness/Proxy.ts"
import type { HttpBackend } from "./HttpBackend.ts"

export interface Pair {
  readonly tls_cert: string
  readonly tls_key: string
}

/** Files with a certificate and key for a name. */
export const pairFor = Effect.fnUntraced(function* (name: string) {
  const folder = yield* temporaryFolder
  const { certificate, key } = yield* Effect.promise(() => identityOf(name))
  const pair: Pair = { tls_cert: join(folder, `${name}.pem`), tls_key: join(folder, `${name}.key`) }
  writeFileSync(pair.tls_cert, certificate)
  writeFileSync(pair.tls_key, key)
  return pair
})

/** A route on L7 from `SERVER` to a backend, with more keys or other values. */
export const routeTo = Effect.fnUntraced(function* (
  { address, protocol }: Pick<HttpBackend, "address" | "protocol">,
  more: Readonly<Record<string, unknown>> = {},
  hostname: string = SERVER
) {
  const pair = yield* pairFor(hostname)
  return { hostname, backend: address, mode: "l7", backend_protocol: protocol, ...pair, ...more }
})

/** The proxy with one route on L7, the admin API and metrics. */
export const startL7 = Effect.fnUntraced(function* (
  backend: Pick<HttpBackend, "address" | "protocol">,
  config: Partial<ProxyConfig> = {},
  options: ProxyOptions = {}
) {
  const folder = yield* temporaryFolder
  const routes = [yield* routeTo(backend)]
  return yield* startProxyIn(folder, { listeners: [{ routes }], grpc: ADMIN, metrics: METRICS, ...config }, options)
})
