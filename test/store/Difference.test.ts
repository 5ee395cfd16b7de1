import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { diff, EMPTY, type State } from "../../src/snapshot/Change.ts"
import { differences } from "../../src/store/Difference.ts"
import { l4, l7, listenerOf, randomState } from "./RandomState.ts"

const before: State = {
  listeners: [listenerOf(":443", l4("b.test"), l4("a.test")), listenerOf(":8443", l4("c.test"))],
  firewallRules: [{ type: "ip", value: "192.0.2.1" }]
}

const after: State = {
  listeners: [
    {
      ...listenerOf(
        ":443",
        l4("b.test", "127.0.0.1:9"),
        l7("d.test", [{ type: "block_user_agent", value: "a\u001b" }])
      ),
      maxConnections: 7,
      trustedProxies: ["10.0.0.0/8"]
    },
    { ...listenerOf(":80"), proxyProtocol: true }
  ],
  firewallRules: [
    { type: "country", value: "DE" },
    { type: "cidr", value: "10.0.0.0/8" }
  ]
}

describe("differences", () => {
  it("names each in the words of the config file, sorted, and safe to print", () => {
    assert.deepStrictEqual(differences(before, after), [
      "change listener :443: trusted_proxies none → [10.0.0.0/8], max_connections none → 7",
      "add listener :80: proxy_protocol true",
      "remove listener :8443 and its routes",
      "remove route a.test on :443",
      "change route b.test on :443: backend 127.0.0.1:1 → 127.0.0.1:9",
      'add route d.test on :443: backend 127.0.0.1:2, mode l7, send_proxy_protocol true, tls_cert "/certs/a.pem", tls_key "/certs/a.key", backend_protocol http/1.1, l7_policies [block_user_agent "a\\u001b"]',
      "remove route c.test on :8443",
      "add firewall rule cidr 10.0.0.0/8",
      "add firewall rule country DE",
      "remove firewall rule ip 192.0.2.1"
    ])
  })

  it("are none exactly where nothing has to be changed", () => {
    fc.assert(
      fc.property(randomState, randomState, (from, to) => {
        assert.deepStrictEqual(differences(from, from), [])
        assert.strictEqual(differences(from, to).length === 0, diff(from, to).length === 0)
      })
    )
  })

  it("are as many from a state to nothing as back", () => {
    fc.assert(
      fc.property(randomState, (state) => {
        assert.strictEqual(differences(state, EMPTY).length, differences(EMPTY, state).length)
      })
    )
  })
})
