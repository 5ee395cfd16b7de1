/** Whatever a config file holds, the answer is a config, which it is again when written anew, or what is wrong, and where. */
import { deepStrictEqual, match, ok } from "node:assert/strict"
import { Result } from "effect"
import { resolve } from "node:path"
import { stringify } from "smol-toml"
import { parseConfig } from "../../src/config/Config.ts"
import { parseToml } from "../../src/config/Toml.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import { parseFirewallRule } from "../../src/snapshot/FirewallRule.ts"
import type { Target } from "./Target.ts"

const parse = (text: string) =>
  parseConfig(text, { file: "mc-proxy.toml", environment: {}, resolvePath: (path) => resolve("/etc/mc-proxy", path) })

const check = (bytes: Uint8Array): string => {
  const text = new TextDecoder().decode(bytes)
  const parsed = parse(text)
  if (Result.isFailure(parsed)) {
    const { message, problems } = parsed.failure
    // Nothing that a terminal takes for a command, whatever the file has.
    match(message, /^[^\p{C}\p{Zl}\p{Zp}]*(?:\n[^\p{C}\p{Zl}\p{Zp}]*)*$/u)
    ok(problems.length > 0)
    for (const problem of problems) ok(problem.path !== "" && problem.message !== "")
    return problems[0]!.message.split("\n")[0]!.replace(/"(?:[^"\\]|\\.)*"|[0-9]+/g, "_")
  }
  const { firewall, listeners } = parsed.success
  for (const rule of firewall.rules) deepStrictEqual(parseFirewallRule(rule.type, rule.value), Result.succeed(rule))
  for (const { hostname } of listeners.flatMap(({ routes }) => routes)) {
    deepStrictEqual(parseHostname(hostname), Result.succeed(hostname))
  }
  deepStrictEqual(parse(stringify(Result.getOrThrow(parseToml(text)))), parsed)
  return "config"
}

export const configTarget: Target = {
  name: "config",
  bytesMax: 1500,
  dictionary: [
    '[database]\npath = "a.db"\n',
    '[[listeners]]\naddr = ":443"\n',
    '[[listeners.routes]]\nhostname = "a.test"\nbackend = "b.test:1"\n',
    'mode = "l7"\n',
    'tls_cert = "a.pem"\ntls_key = "a.key"\n',
    "backend_tls = true\n",
    '[[listeners.routes.l7_policies]]\ntype = "require_header"\nvalue = "x"\n',
    "proxy_protocol = true\n",
    'trusted_proxies = ["10.0.0.0/8"]\n',
    '[grpc]\naddr = "a.sock"\n',
    '[firewall]\nblocked_ips = ["::1"]\n',
    'blocked_countries = ["KP"]\n',
    'geoip_db = "a.mmdb"\n',
    'rate_limit = 1\nrate_window = "1m30s"\n',
    "[proxy]\n",
    'connect_timeout = "5s"\n',
    "max_hello_bytes = 300\n",
    '[log]\nlevel = "debug"\n',
    "[metrics]\n",
    "[tracing]\n",
    "1979-05-27T07:32:00Z",
    "0x1f",
    "nan",
    '"""',
    "''",
    "{ a = 1 }",
    "\\u001b",
    "__proto__"
  ],
  check
}
