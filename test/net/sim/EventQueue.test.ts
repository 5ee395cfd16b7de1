import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { EventQueue, type QueuedEvent } from "../../../src/net/sim/EventQueue.ts"

/** A time to add an event at, or which of those so far to take out. */
const operations = fc.array(fc.oneof(fc.record({ at: fc.nat(20) }), fc.record({ remove: fc.nat() })))

it("gives what was added and not removed, in order of time, and of one time in the order of adding", () => {
  fc.assert(
    fc.property(operations, (drawn) => {
      const queue = new EventQueue()
      const all: Array<QueuedEvent> = []
      const left = new Set<QueuedEvent>()
      for (const operation of drawn) {
        if ("at" in operation) {
          const event = queue.add(operation.at, () => {})
          all.push(event)
          left.add(event)
        } else if (all.length > 0) {
          const event = all[operation.remove % all.length]!
          queue.remove(event)
          left.delete(event)
        }
        assert.strictEqual(queue.length, left.size)
      }
      const expected = all.filter((event) => left.has(event)).sort((a, b) => a.at - b.at || a.number - b.number)
      for (const event of expected) {
        assert.strictEqual(queue.first, event)
        queue.remove(event)
      }
      assert.isUndefined(queue.first)
    })
  )
})
