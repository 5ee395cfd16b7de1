import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { Counters } from "../../src/observe/Counters.ts"
import { compile } from "../../src/pipeline/ProxyState.ts"
import { ROUTE } from "../pipeline/World.ts"
import { listenerAt, snapshotOf } from "../server/Plane.ts"

const ip = (text: string) => parseIpAddress(text)!

it.effect("compiles a snapshot into what each listener decides by", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const trusting = listenerAt(":8443", { trustedProxies: ["10.0.0.0/8", "2001:db8::1"] })
    const { revision, firewall, listeners } = compile(
      {
        ...snapshotOf(
          [listenerAt(":443"), trusting],
          [
            { type: "ip", value: "192.0.2.1" },
            { type: "country", value: "KP" }
          ]
        ),
        revision: 42
      },
      counters
    )
    assert.strictEqual(revision, 42)
    assert.deepStrictEqual(firewall.counts, { ip: 1, cidr: 0, country: 1 })
    assert.deepStrictEqual([...listeners.keys()], [":443", ":8443"])

    const plain = listeners.get(":443")!
    const trusted = listeners.get(":8443")!
    assert.strictEqual(trusted.listener, trusting)
    assert.strictEqual(plain.trusted.size, 0)
    assert.strictEqual(trusted.trusted.size, 2)
    assert.isTrue(trusted.trusted.match(ip("10.255.0.1")))
    assert.isTrue(trusted.trusted.match(ip("2001:db8::1")))
    assert.isUndefined(trusted.trusted.match(ip("2001:db8::2")))
    assert.deepStrictEqual([...plain.routes.keys()], [ROUTE.hostname])
    assert.strictEqual(plain.counters, counters.listener(":443"))
    assert.strictEqual(trusted.counters, counters.listener(":8443"))
  }).pipe(Effect.provide(Counters.layer))
)

it.effect("goes on with the series there are", () =>
  Effect.gen(function* () {
    const counters = yield* Counters
    const first = compile(snapshotOf([listenerAt(":443")]), counters).listeners.get(":443")!
    const second = compile(snapshotOf([listenerAt(":443")]), counters).listeners.get(":443")!
    assert.strictEqual(second.counters, first.counters)
    assert.strictEqual(second.routes.get(ROUTE.hostname)?.dials, first.routes.get(ROUTE.hostname)?.dials)
  }).pipe(Effect.provide(Counters.layer))
)
