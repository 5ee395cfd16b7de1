import { assert, it } from "@effect/vitest"
import { Alarm, ALARM_INTERVAL_MS } from "../../src/routing/Alarm.ts"

it("warns at once, and again only when the interval has passed since the last warning", () => {
  const alarm = new Alarm()
  assert.isTrue(alarm.raise(0))
  assert.isFalse(alarm.raise(1))
  assert.isFalse(alarm.raise(ALARM_INTERVAL_MS - 1))
  assert.isTrue(alarm.raise(ALARM_INTERVAL_MS))
  assert.isFalse(alarm.raise(2 * ALARM_INTERVAL_MS - 1))
  assert.isTrue(alarm.raise(2 * ALARM_INTERVAL_MS))
})
