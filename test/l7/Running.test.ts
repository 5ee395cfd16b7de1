import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Running } from "../../src/l7/Running.ts"

describe("what runs", () => {
  it("is what came and has not gone, whatever the order", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("add" as const), fc.nat())), (steps) => {
        const running = new Running<{ place: number }>()
        const model: Array<{ place: number }> = []
        for (const step of steps) {
          if (step === "add") {
            const member = { place: 0 }
            running.add(member)
            model.push(member)
          } else if (model.length > 0) {
            running.remove(model.splice(step % model.length, 1)[0]!)
          }
          assert.strictEqual(running.size, model.length)
          assert.sameMembers([...running.all()], model)
        }
      })
    )
  })
})
