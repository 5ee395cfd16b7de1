import { assert, describe, it } from "@effect/vitest"
import { SOCKET_PATH_BYTES_MAX } from "../../src/config/Sections.ts"
import { configOf, FOLDER, linesOf, REQUIRED } from "./Parsing.ts"

describe("Sections", () => {
  it("makes paths absolute against the config file's folder", () => {
    const { database, firewall, grpc } = configOf(`
      [database]
      path = "data/mc-proxy.db"
      [[listeners]]
      addr = ":443"
      [grpc]
      addr = "../run/mc-proxy.sock"
      [firewall]
      geoip_db = "./geo.mmdb"`)
    assert.strictEqual(database.path, `${FOLDER}/data/mc-proxy.db`)
    assert.strictEqual(grpc?.addr, "/etc/run/mc-proxy.sock")
    assert.strictEqual(firewall.geoipDb, `${FOLDER}/geo.mmdb`)
  })

  it("takes a socket's path of as many bytes as the system has room for, and not one more", () => {
    const pathOf = (bytes: number) => `/run/${"ö".repeat((bytes - 5) >> 1)}${bytes % 2 === 0 ? "x" : ""}`
    const textOf = (bytes: number) => `${REQUIRED}\n[grpc]\naddr = "${pathOf(bytes)}"`
    assert.strictEqual(configOf(textOf(SOCKET_PATH_BYTES_MAX)).grpc?.addr, pathOf(SOCKET_PATH_BYTES_MAX))
    assert.deepStrictEqual(linesOf(textOf(SOCKET_PATH_BYTES_MAX + 1)), [
      `grpc.addr: "${pathOf(108)}" has 108 bytes; the path of a Unix socket has at most 107`
    ])
  })

  it("counts the folder's bytes in a relative socket path", () => {
    const relative = "s".repeat(SOCKET_PATH_BYTES_MAX - FOLDER.length)
    assert.match(linesOf(`${REQUIRED}\n[grpc]\naddr = "${relative}"`)[0] ?? "", /^grpc\.addr: .* has 108 bytes/)
    assert.strictEqual(linesOf(`${REQUIRED}\n[grpc]\naddr = "${relative.slice(1)}"`)[0], undefined)
  })

  it("refuses blocked countries without a database to tell them by", () => {
    const firewall = `${REQUIRED}\n[firewall]\nblocked_countries = ["DE"]\n`
    assert.deepStrictEqual(linesOf(firewall), [
      "firewall.blocked_countries: needs a database to tell countries by; set firewall.geoip_db to the path of an .mmdb file"
    ])
    assert.isEmpty(linesOf(`${firewall}geoip_db = "geo.mmdb"`))
    assert.isEmpty(linesOf(firewall, { MCPROXY_FIREWALL_GEOIP_DB: "geo.mmdb" }))
  })

  it("keeps firewall rules in canonical form, addresses before networks before countries", () => {
    const { firewall, warnings } = configOf(`${REQUIRED}
      [firewall]
      blocked_countries = ["DE", "AT"]
      geoip_db = "geo.mmdb"
      blocked_cidrs = ["::ffff:10.0.0.0/104", "2001:DB8::/32"]
      blocked_ips = ["2001:DB8:0::1", "::ffff:192.0.2.1"]`)
    assert.deepStrictEqual(firewall.rules, [
      { type: "ip", value: "2001:db8::1" },
      { type: "ip", value: "192.0.2.1" },
      { type: "cidr", value: "10.0.0.0/8" },
      { type: "cidr", value: "2001:db8::/32" },
      { type: "country", value: "DE" },
      { type: "country", value: "AT" }
    ])
    assert.isEmpty(warnings)
  })

  it("keeps a repeated rule once, and warns", () => {
    const { firewall, warnings } = configOf(`${REQUIRED}
      [firewall]
      blocked_ips = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "192.0.2.1"]
      blocked_cidrs = [${[1, 2, 3, 4, 5].map((n) => `"10.${n}.0.0/16", "10.${n}.0.0/16"`).join(", ")}]`)
    assert.lengthOf(firewall.rules, 7)
    assert.deepStrictEqual(warnings, [
      'firewall.blocked_ips: "192.0.2.1" repeated; each is kept once',
      'firewall.blocked_cidrs: "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16" and 2 more repeated; each is kept once'
    ])
  })

  it("refuses a section that is no table, once", () => {
    assert.deepStrictEqual(linesOf(`log = "info"\nproxy = []\n[[grpc]]\n${REQUIRED}`), [
      'log: "info" is not a table; start it with [log]',
      "proxy: an array is not a table; start it with [proxy]",
      "grpc: an array is not a table; start it with [grpc]"
    ])
  })

  it("takes a misspelt section for the one that is left out, and tells one mistake", () => {
    assert.deepStrictEqual(linesOf('[databse]\npath = "a.db"\n[[listener]]\naddr = ":443"'), [
      "databse: unknown key; did you mean database?",
      "listener: unknown key; did you mean listeners?"
    ])
  })

  it("reads a section that is there beside a misspelt one", () => {
    assert.deepStrictEqual(linesOf(`${REQUIRED}\n[logs]\n[log]\nlevel = "all"`), [
      "logs: unknown key; did you mean log?",
      'log.level: "all" is not one of "debug", "info", "warn", "error"'
    ])
  })

  it("says which table a misplaced key belongs to", () => {
    assert.deepStrictEqual(linesOf(`${REQUIRED}\n[log]\nidle_timeout = "1m"\naddr = ":1"\nwhatever = 1`), [
      "log.idle_timeout: unknown key; it belongs to [proxy]",
      "log.addr: unknown key; it belongs to [grpc] or [metrics] or [[listeners]]",
      "log.whatever: unknown key; known here: level, format, access"
    ])
  })

  it("lets the metrics have the root where there is no dashboard", () => {
    const metrics = `${REQUIRED}\n[metrics]\npath = "/"\ndashboard = false`
    assert.deepStrictEqual(configOf(metrics).metrics, { addr: "127.0.0.1:9090", path: "/", dashboard: false })
  })
})
