import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Running, type Neighbour } from "../../src/pipeline/Running.ts"

class Member implements Neighbour<Member> {
  previous: Member | undefined
  next: Member | undefined
}

describe("what runs", () => {
  it("is what came and has not gone, in the order in which it came", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("add" as const), fc.nat())), (steps) => {
        const running = new Running<Member>()
        const model: Array<Member> = []
        const gone: Array<Member> = []
        for (const step of steps) {
          if (step === "add") {
            const next = new Member()
            running.add(next)
            model.push(next)
          } else if (model.length > 0) {
            const [leaving] = model.splice(step % model.length, 1)
            running.remove(leaving!)
            gone.push(leaving!)
          }
          const all = running.all()
          assert.strictEqual(running.size, model.length)
          assert.isTrue(all.length === model.length && all.every((one, i) => one === model[i]))
          assert.isTrue(model.every((one) => running.has(one)))
          assert.isFalse(gone.some((one) => running.has(one)))
        }
      })
    )
  })

  it("gives the one that has been in for longest, and none where nothing is in", () => {
    const running = new Running<Member>()
    const members = [new Member(), new Member()]
    for (const one of members) running.add(one)
    assert.isTrue(running.shift() === members[0] && running.shift() === members[1])
    assert.isUndefined(running.shift())
    assert.deepStrictEqual([running.size, members[0]], [0, new Member()])
  })

  it("holds nothing by what has gone", () => {
    const running = new Running<Member>()
    const members = [new Member(), new Member(), new Member()]
    for (const one of members) running.add(one)
    running.remove(members[1]!)
    assert.deepStrictEqual(members[1], new Member())
  })
})
