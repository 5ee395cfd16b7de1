/**
 * Schemas of what the state is made of: canonical values alone, and the rules between the fields of one item.
 *
 * For what comes from outside the program's own memory, above all a database, which another program may have written.
 * A failure's message is the end of a sentence that begins with the offending value.
 */
import { isAbsolute } from "node:path"
import { Result, Schema } from "effect"
import { CONNECTIONS_MAX } from "../config/Keys.ts"
import { HEADER_NAME } from "../config/Listeners.ts"
import { showText } from "../config/Printable.ts"
import { policyValue } from "../config/Value.ts"
import type { ListenerSettings } from "../snapshot/Change.ts"
import {
  formatBackendAddress,
  formatListenAddress,
  parseBackendAddress,
  parseListenAddress
} from "../snapshot/Endpoint.ts"
import { formatCidr, parseFirewallRule, parseIpOrCidr, type FirewallRule } from "../snapshot/FirewallRule.ts"
import { parseHostname } from "../snapshot/Hostname.ts"
import type { L4Route, L7Policy, L7Route, Route } from "../snapshot/Snapshot.ts"

/** Text that `parse` gives back as it is. */
const canonical = (parse: (text: string) => Result.Result<string, string>) =>
  Schema.makeFilter((text: string) => canonicalProblem(text, parse(text)))

const canonicalProblem = (text: string, parsed: Result.Result<string, string>): string | undefined => {
  if (Result.isFailure(parsed)) return parsed.failure
  return parsed.success === text ? undefined : `is not in canonical form; write ${showText(parsed.success)}`
}

const ListenAddr = Schema.String.check(canonical((text) => Result.map(parseListenAddress(text), formatListenAddress)))

const BackendAddr = Schema.String.check(
  canonical((text) => Result.map(parseBackendAddress(text), formatBackendAddress))
)

const HostnameText = Schema.String.check(canonical(parseHostname))

export const HostnameSchema = HostnameText.pipe(Schema.brand("mc-proxy/Hostname"))

const HostnameOrNone = Schema.Union([Schema.Literal(""), HostnameText])

const IpOrCidr = Schema.String.check(
  canonical((text) => Result.map(parseIpOrCidr(text), (cidr) => (text.includes("/") ? formatCidr(cidr) : cidr.ip.text)))
)

const AbsolutePath = Schema.String.check(
  Schema.makeFilter((text: string) => (isAbsolute(text) ? undefined : "is no absolute path"))
)

const AbsolutePathOrNone = Schema.Union([Schema.Literal(""), AbsolutePath])

export const FirewallRuleSchema: Schema.Codec<FirewallRule> = Schema.Struct({
  type: Schema.Literals(["ip", "cidr", "country"]),
  value: Schema.String
}).check(
  Schema.makeFilter(({ type, value }: FirewallRule) => {
    const parsed = Result.map(parseFirewallRule(type, value), (rule) => rule.value)
    const issue = canonicalProblem(value, parsed)
    return issue === undefined ? undefined : { path: ["value"], issue }
  })
)

const decodePolicyValue = Schema.decodeUnknownResult(policyValue.schema)

export const L7PolicySchema: Schema.Codec<L7Policy> = Schema.Struct({
  type: Schema.Literals(["block_user_agent", "require_header"]),
  value: Schema.String
}).check(
  Schema.makeFilter(({ type, value }: L7Policy) => {
    if (Result.isFailure(decodePolicyValue(value))) return { path: ["value"], issue: `is not ${policyValue.expects}` }
    if (type === "require_header" && !HEADER_NAME.test(value)) return { path: ["value"], issue: "is no header name" }
    return undefined
  })
)

const ROUTE = { hostname: HostnameSchema, backend: BackendAddr, sendProxyProtocol: Schema.Boolean }

export const L4RouteSchema: Schema.Codec<L4Route, unknown> = Schema.Struct({ mode: Schema.Literal("l4"), ...ROUTE })

export const L7RouteSchema: Schema.Codec<L7Route, unknown> = Schema.Struct({
  mode: Schema.Literal("l7"),
  ...ROUTE,
  tlsCert: AbsolutePath,
  tlsKey: AbsolutePath,
  backendProtocol: Schema.Literals(["h2", "http/1.1"]),
  backendTls: Schema.Boolean,
  backendCa: AbsolutePathOrNone,
  backendServerName: HostnameOrNone,
  l7Policies: Schema.Array(L7PolicySchema)
}).check(
  Schema.makeFilter(({ backendTls, backendCa, backendServerName }: L7Route) => {
    if (backendTls || (backendCa === "" && backendServerName === "")) return undefined
    return {
      path: [backendCa === "" ? "backendServerName" : "backendCa"],
      issue: "is without effect, so not allowed, unless backend_tls is true"
    }
  })
)

export const RouteSchema: Schema.Codec<Route, unknown> = Schema.Union([L4RouteSchema, L7RouteSchema])

export const ListenerSettingsSchema: Schema.Codec<ListenerSettings> = Schema.Struct({
  addr: ListenAddr,
  proxyProtocol: Schema.Boolean,
  trustedProxies: Schema.Array(IpOrCidr),
  maxConnections: Schema.Int.check(
    Schema.isBetween({ minimum: 0, maximum: CONNECTIONS_MAX }, { message: `is not 0 to ${CONNECTIONS_MAX}` })
  )
})
