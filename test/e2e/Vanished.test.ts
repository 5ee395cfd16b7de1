import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { startBackend } from "./harness/Backend.ts"
import { hello } from "./harness/Hello.ts"
import { startProxy } from "./harness/Proxy.ts"
import { connect } from "./harness/Wire.ts"

it.live("lets nobody past the firewall who resets before being accepted, and dials no backend for them", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const routes = [{ hostname: "a.test", backend: backend.address }]
    const proxy = yield* startProxy({ listeners: [{ routes }], firewall: { blocked_cidrs: ["127.0.0.0/8"] } })

    // While the proxy is stopped the kernel takes the connections, the hellos and the resets.
    proxy.signal("SIGSTOP")
    for (let i = 0; i < 20; i++) {
      const client = yield* connect(proxy.address)
      yield* client.send(hello("a.test"))
      client.reset()
    }
    proxy.signal("SIGCONT")

    for (let i = 0; i < 20; i++) {
      const line = yield* proxy.access()
      assert.deepInclude(line, { outcome: "reset", client: "", peer: "", hostname: "", backend: "", from_client: 0 })
    }
    assert.strictEqual(backend.accepted.length, 0)
  })
)
