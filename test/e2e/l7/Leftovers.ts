/** What the proxy still holds when its clients have gone. */
import { assert } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import type { Proxy } from "../harness/Proxy.ts"
import { scrape } from "../harness/Scrape.ts"
import { descriptorsOf } from "../load/ProcessState.ts"

/** Waits until the proxy serves nobody, and has no more descriptors open than `descriptorsMax`. */
export const assertIdle = Effect.fnUntraced(function* (proxy: Proxy, descriptorsMax: number) {
  const look = Effect.gen(function* () {
    const active = (yield* scrape(proxy)).of("mcproxy_connections_active")
    return {
      active: Object.values(active).reduce((sum, count) => sum + count, 0),
      open: descriptorsOf(proxy.program.pid)
    }
  })
  const isIdle = ({ active, open }: { readonly active: number; readonly open: number }) =>
    active === 0 && open <= descriptorsMax
  const last = yield* Effect.repeat(look, {
    until: isIdle,
    schedule: Schedule.spaced("50 millis"),
    times: 200
  })
  assert.isTrue(isIdle(last), `${last.active} connections, ${last.open} descriptors of ${descriptorsMax}`)
})
