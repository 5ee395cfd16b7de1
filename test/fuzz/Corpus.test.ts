import { assert, describe, it } from "@effect/vitest"
import { readCorpus } from "./Corpus.ts"
import { TARGETS } from "./Targets.ts"

for (const target of TARGETS) {
  describe(`what was fed to ${target.name}`, () => {
    const corpus = readCorpus(target)

    it("comes to many different results", () => {
      const results = new Set([...corpus.values()].map((bytes) => target.check(bytes)))
      assert.isAtLeast(results.size, 5)
    })

    for (const [file, bytes] of corpus) {
      it(`${file} passes`, () => {
        target.check(bytes)
      })
    }
  })
}
