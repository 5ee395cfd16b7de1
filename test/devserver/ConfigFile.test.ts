import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parse, type TomlTable } from "smol-toml"
import { parseConfig } from "../../src/config/Config.ts"
import { LISTENER, ROUTE, SECTIONS } from "../../src/config/Keys.ts"
import { isTable } from "../../src/config/Toml.ts"
import { firstConfig } from "../../src/devserver/ConfigFile.ts"
import { DEMOS, LISTENER as LISTENER_ADDR } from "../../src/devserver/Demo.ts"
import type { Route } from "../../src/snapshot/Snapshot.ts"

const read = (text: string) =>
  Result.getOrThrow(
    parseConfig(text, { file: "mc-proxy.toml", environment: {}, resolvePath: (path) => `/folder/${path}` })
  )

const POLICY = { type: "block_user_agent", value: "BadBot" } as const

const terminated = (name: string) => ({
  tlsCert: `/folder/certs/${name}.pem`,
  tlsKey: `/folder/certs/${name}.key`,
  backendProtocol: "h2" as const,
  backendTls: false,
  backendCa: "",
  backendServerName: "",
  l7Policies: [POLICY]
})

const tablesAt = (table: TomlTable, key: string): ReadonlyArray<TomlTable> => {
  const value = table[key]
  assert(Array.isArray(value) && value.every(isTable))
  return value
}

describe("firstConfig", () => {
  it("is a config without problems or warnings, which routes every demo", () => {
    const config = read(firstConfig())
    assert.deepStrictEqual(config.warnings, [])
    assert.strictEqual(config.database.path, "/folder/mc-proxy.db")
    assert.deepStrictEqual(
      config.listeners.map(({ addr, routes }) => ({ addr, routes })),
      [
        {
          addr: LISTENER_ADDR,
          routes: DEMOS.map(({ backend, hostname, mode, name }): Route => {
            const base = { hostname, backend, sendProxyProtocol: false }
            return mode === "l4" ? { ...base, mode } : { ...base, mode, ...terminated(name) }
          })
        }
      ]
    )
  })

  it("shows nothing but defaults", () => {
    const routes = DEMOS.map(({ backend, hostname, mode, name }) => {
      const route = `[[listeners.routes]]\nhostname = "${hostname}"\nbackend = "${backend}"\n`
      if (mode === "l4") return route
      const files = `mode = "l7"\ntls_cert = "certs/${name}.pem"\ntls_key = "certs/${name}.key"\n`
      return `${route}${files}[[listeners.routes.l7_policies]]\ntype = "${POLICY.type}"\nvalue = "${POLICY.value}"\n`
    })
    const listener = `[[listeners]]\naddr = "${LISTENER_ADDR}"\n${routes.join("")}`
    assert.deepStrictEqual(
      read(firstConfig()),
      read(`[database]\npath = "mc-proxy.db"\n[grpc]\naddr = "mc-proxy.sock"\n[metrics]\n${listener}`)
    )
  })

  it("shows every key", () => {
    const document = parse(firstConfig())
    const { database, firewall, grpc, log, metrics, proxy } = SECTIONS
    assert.sameMembers(Object.keys(document), ["database", "grpc", "listeners", "firewall", "proxy", "log", "metrics"])
    for (const [section, keys] of Object.entries({ database, firewall, grpc, log, metrics, proxy })) {
      assert.sameMembers(Object.keys(document[section] as object), Object.keys(keys))
    }
    const [listener] = tablesAt(document, "listeners")
    assert.sameMembers(Object.keys(listener!), [...Object.keys(LISTENER), "routes"])
    const l4Keys = Object.keys(ROUTE).filter((key) => !/^(?:tls|backend)_/.test(key))
    for (const route of tablesAt(listener!, "routes")) {
      const keys = route["mode"] === "l4" ? l4Keys : [...Object.keys(ROUTE), "l7_policies"]
      assert.sameMembers(Object.keys(route), keys)
    }
  })

  it("has no line that is too long to read", () => {
    for (const line of firstConfig().split("\n")) assert.isAtMost(line.length, 120, line)
  })
})
