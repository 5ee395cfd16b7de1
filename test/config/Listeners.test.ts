import { assert, describe, it } from "@effect/vitest"
import { configOf, FOLDER, linesOf, REQUIRED, withRoute } from "./Parsing.ts"

/** A route that terminates TLS. */
const withL7Route = (lines: string): string => withRoute(`mode = "l7"\ntls_cert = "a.pem"\ntls_key = "a.key"\n${lines}`)

const listeners = (...addrs: ReadonlyArray<string>): string =>
  `database.path = "a.db"\n${addrs.map((addr) => `[[listeners]]\naddr = "${addr}"\n`).join("")}`

describe("Listeners", () => {
  it("makes the paths of an L7 route absolute, and leaves out those that are empty", () => {
    const [listener] = configOf(withL7Route('backend_tls = true\nbackend_ca = "../ca.pem"')).listeners
    const [listenerWithout] = configOf(withL7Route("backend_tls = true")).listeners
    assert.include(listener?.routes[0], {
      tlsCert: `${FOLDER}/a.pem`,
      tlsKey: `${FOLDER}/a.key`,
      backendCa: "/etc/ca.pem"
    })
    assert.include(listenerWithout?.routes[0], { backendCa: "" })
  })

  it("takes a listener without routes, and port 0", () => {
    assert.deepStrictEqual(configOf(listeners(":0")).listeners, [
      { addr: ":0", proxyProtocol: false, trustedProxies: [], maxConnections: 0, routes: [] }
    ])
  })

  it.each(["", "listeners = []\n"])("refuses a file without a listener (%j)", (text) => {
    assert.deepStrictEqual(linesOf(`${text}database.path = "a.db"`), [
      "listeners: missing; write at least one [[listeners]] with its addr"
    ])
  })

  it("refuses listeners and routes that are no arrays of tables", () => {
    assert.deepStrictEqual(linesOf('database.path = "a.db"\n[listeners]\naddr = ":443"'), [
      "listeners: a table is not an array of tables; start each with [[listeners]]"
    ])
    assert.deepStrictEqual(linesOf('database.path = "a.db"\nlisteners = [":443", { addr = ":1", routes = [7] }]'), [
      'listeners[0]: ":443" is not a table; start each with [[listeners]]',
      "listeners[1].routes[0]: 7 is not a table; start each with [[listeners.routes]]"
    ])
  })

  it("refuses a listener that cannot be bound beside another", () => {
    const problem = (one: string, other: string) =>
      `listeners[1].addr: "${other}" cannot be bound beside listeners[0].addr = "${one}"; name an address in both`
    for (const [one, other] of [
      [":443", "127.0.0.1:443"],
      ["[::1]:443", ":443"],
      [":443", "0.0.0.0:443"],
      ["0.0.0.0:443", "127.0.0.1:443"],
      ["[::1]:443", "[::]:443"]
    ] as const) {
      assert.deepStrictEqual(linesOf(listeners(one, other)), [problem(one, other)])
    }
    configOf(listeners("0.0.0.0:443", "[::]:443"))
    configOf(listeners(":443", "127.0.0.1:8443"))
    configOf(listeners(":0", "127.0.0.1:0"))
  })

  it("refuses the same address twice, in whatever spelling", () => {
    assert.deepStrictEqual(
      linesOf(listeners("127.0.0.1:443", ":8443", "[::FFFF:127.0.0.1]:443", "[::ffff:7f00:1]:443")),
      [
        'listeners[2].addr: "[::FFFF:127.0.0.1]:443" is listeners[0].addr already; give its routes to that listener',
        'listeners[3].addr: "[::ffff:7f00:1]:443" is listeners[0].addr already; give its routes to that listener'
      ]
    )
  })

  it("refuses the same hostname twice on a listener, in whatever spelling, also beside other mistakes", () => {
    assert.deepStrictEqual(linesOf(withRoute('[[listeners.routes]]\nhostname = "GIT.Example.NET."\nbackend = "b"')), [
      'listeners[0].routes[1].hostname: "GIT.Example.NET." is listeners[0].routes[0].hostname already; a listener has one route for a hostname',
      'listeners[0].routes[1].backend: "b" is not "host:port", "ip:port" or "[ip6]:port"'
    ])
  })

  it("takes the same hostname on two listeners", () => {
    const route = '[[listeners.routes]]\nhostname = "a.net"\nbackend = "b:1"\n'
    assert.isEmpty(linesOf(`${REQUIRED}${route}[[listeners]]\naddr = ":444"\n${route}`))
  })

  it.each([
    ["tls_cert", '"a.pem"'],
    ["tls_key", '"a.key"'],
    ["backend_tls", "false"],
    ["backend_protocol", '"h2"'],
    ["backend_ca", '""'],
    ["backend_server_name", '"b.net"'],
    ["l7_policies", "[]"]
  ])("refuses %s on an L4 route, whatever its value", (key, value) => {
    assert.deepStrictEqual(linesOf(withRoute(`${key} = ${value}`)), [
      `listeners[0].routes[0]: mode = "l4" takes no ${key}; set mode = "l7" or remove it`
    ])
  })

  it("refuses all of an L4 route's L7 options as one mistake", () => {
    assert.deepStrictEqual(linesOf(withRoute('mode = "l4"\ntls_key = "a"\nbackend_tls = true\ntls_cert = "b"')), [
      'listeners[0].routes[0]: mode = "l4" takes no tls_cert, tls_key or backend_tls; set mode = "l7" or remove them'
    ])
  })

  it("judges no option by a mode that is wrong or misspelt", () => {
    assert.deepStrictEqual(linesOf(withRoute('mod = "l7"\ntls_key = "a"')), [
      "listeners[0].routes[0].mod: unknown key; did you mean mode?"
    ])
    assert.deepStrictEqual(linesOf(withRoute('mode = "L7"\ntls_key = "a"')), [
      'listeners[0].routes[0].mode: "L7" is not one of "l4", "l7"'
    ])
  })

  it.each([
    ['mode = "l7"', "tls_cert and tls_key"],
    ['mode = "l7"\ntls_key = "a"', "tls_cert"],
    ['mode = "l7"\ntls_cert = "a"\ntls_key = ""', "tls_key"]
  ])("refuses an L7 route without its files (%j)", (lines, missing) => {
    assert.deepStrictEqual(linesOf(withRoute(lines)), [
      `listeners[0].routes[0]: mode = "l7" needs ${missing}; write the path of each PEM file`
    ])
  })

  it.each([
    ['backend_ca = "ca.pem"', "backend_ca", "it"],
    ['backend_server_name = "b.net"\nbackend_ca = "ca.pem"', "backend_ca or backend_server_name", "them"]
  ])("refuses how to check a backend's certificate where it shows none (%j)", (lines, keys, what) => {
    assert.deepStrictEqual(linesOf(withL7Route(lines)), [
      `listeners[0].routes[0]: backend_tls = false takes no ${keys}; set backend_tls = true or remove ${what}`
    ])
    assert.isEmpty(linesOf(withL7Route(`backend_tls = true\n${lines}`)))
  })

  it("takes only a token as the name of a required header", () => {
    const policy = (type: string, value: string) =>
      withL7Route(`l7_policies = [{ type = "${type}", value = "${value}" }]`)
    assert.isEmpty(linesOf(policy("require_header", "X-Api_Key.1!")))
    assert.isEmpty(linesOf(policy("block_user_agent", "Bad Bot/1.0 (x:y)")))
    assert.deepStrictEqual(linesOf(policy("require_header", "x-api-key: 1")), [
      'listeners[0].routes[0].l7_policies[0].value: "x-api-key: 1" is no header name such as "x-api-key"'
    ])
  })

  it("keeps a repeated policy once, compared without case, and warns", () => {
    const { listeners, warnings } = configOf(
      withL7Route(`l7_policies = [
        { type = "block_user_agent", value = "Bot" },
        { type = "require_header", value = "bot" },
        { type = "block_user_agent", value = "BOT" }
      ]`)
    )
    const route = listeners[0]?.routes[0]
    assert.deepStrictEqual(route?.mode === "l7" && route.l7Policies, [
      { type: "block_user_agent", value: "Bot" },
      { type: "require_header", value: "bot" }
    ])
    assert.deepStrictEqual(warnings, [
      'listeners[0].routes[0].l7_policies: "block_user_agent bot" repeated; each is kept once'
    ])
  })

  it("keeps trusted proxies in canonical form, each once", () => {
    const { listeners, warnings } = configOf(
      `${REQUIRED}proxy_protocol = true\ntrusted_proxies = ["::ffff:10.0.0.1", "2001:DB8::/32", "10.0.0.1"]`
    )
    assert.deepStrictEqual(listeners[0]?.trustedProxies, ["10.0.0.1", "2001:db8::/32"])
    assert.deepStrictEqual(warnings, ['listeners[0].trusted_proxies: "10.0.0.1" repeated; each is kept once'])
  })

  it("warns of a listener that takes PROXY headers from anyone", () => {
    assert.deepStrictEqual(configOf(`${REQUIRED}proxy_protocol = true`).warnings, [
      "listeners[0].trusted_proxies: empty, so anyone may send a PROXY header and claim any address; name your proxies"
    ])
  })

  it("warns of trusted proxies where no PROXY header is read", () => {
    assert.deepStrictEqual(configOf(`${REQUIRED}trusted_proxies = ["10.0.0.1"]`).warnings, [
      "listeners[0].trusted_proxies: without effect until proxy_protocol = true"
    ])
  })
})
