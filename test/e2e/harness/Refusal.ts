/** What a refused client and the log have to show, exactly. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { AccessLine, Proxy } from "./Proxy.ts"
import type { Wire } from "./Wire.ts"

/** An access line without what is different each time. */
export type Told = Omit<AccessLine, "time" | "id" | "duration_ms" | "dial_ms">

/**
 * The client has got a RST, and neither a byte nor a FIN before it; its access line says `told`, and besides the
 * addresses nothing else. No backend was reached.
 */
export const assertRefused = Effect.fnUntraced(function* (
  proxy: Proxy,
  client: Wire,
  told: Partial<Told> & Pick<Told, "outcome">
) {
  assert.strictEqual(yield* client.ended, "reset")
  assert.strictEqual(client.length, 0)
  const { time, id, duration_ms, dial_ms, ...line } = yield* proxy.accessOf(client)
  const nothing = { country: "", hostname: "", backend: "", mode: "", rule: "", from_client: 0, from_backend: 0 }
  const expected: Told = { listener: "127.0.0.1:0", client: client.local, peer: client.local, ...nothing, ...told }
  assert.deepStrictEqual(line, expected)
  assert.isNull(dial_ms)
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.notStrictEqual(id, "")
  assert.isAtLeast(duration_ms, 0)
})

/** Stops the proxy, which must end well, and gives the outcome of every line it has written: one a connection. */
export const outcomesAtEnd = Effect.fnUntraced(function* (proxy: Proxy) {
  assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
  assert.strictEqual(new Set(proxy.accessLines.map(({ id }) => id)).size, proxy.accessLines.length)
  return proxy.accessLines.map(({ outcome }) => outcome)
})
