import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { counter, gauge, histogram, render } from "../../src/metrics/Exposition.ts"
import { DurationHistogram } from "../../src/observe/Histogram.ts"

it("writes a metric's help and type, then its series", () => {
  const page = [
    counter("a_total", "Things.", [
      [{ listener: ":443", outcome: "done" }, 2],
      [{ listener: ":443", outcome: "reset" }, 0]
    ]),
    gauge("b", "Level, in bytes.", [[{}, -1.5]]),
    gauge("none", "Nothing to say of it.", [])
  ]
  assert.strictEqual(
    [...render(page)].join(""),
    `# HELP a_total Things.
# TYPE a_total counter
a_total{listener=":443",outcome="done"} 2
a_total{listener=":443",outcome="reset"} 0
# HELP b Level, in bytes.
# TYPE b gauge
b -1.5
# HELP none Nothing to say of it.
# TYPE none gauge
`
  )
})

it("writes a histogram's buckets cumulatively, in seconds, with what is beyond every bound", () => {
  const durations = new DurationHistogram([1, 2500])
  for (const ms of [0.5, 1, 2, 2500, 10_000]) durations.observe(ms)
  const page = [histogram("t_seconds", "Time.", [[{ backend: "a:1" }, durations]])]
  assert.strictEqual(
    [...render(page)].join(""),
    `# HELP t_seconds Time.
# TYPE t_seconds histogram
t_seconds_bucket{backend="a:1",le="0.001"} 2
t_seconds_bucket{backend="a:1",le="2.5"} 4
t_seconds_bucket{backend="a:1",le="+Inf"} 5
t_seconds_sum{backend="a:1"} 12.5035
t_seconds_count{backend="a:1"} 5
`
  )
  const bare = [...render([histogram("t", "T.", [[{}, new DurationHistogram([1])]])])].join("")
  assert.include(bare, 't_bucket{le="0.001"} 0\nt_bucket{le="+Inf"} 0\nt_sum 0\nt_count 0\n')
})

it("escapes labels so that any value is read back, and none makes a line of its own", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      const page = [...render([gauge("a", "A.", [[{ label: value }, 1]])])].join("")
      const lines = page.split("\n")
      assert.strictEqual(lines.length, 4)
      const written = /^a\{label="(.*)"\} 1$/su.exec(lines[2]!)?.[1]
      assert.notMatch(written!.replaceAll(/\\["\\n]/g, ""), /["\\\n]/)
      assert.strictEqual(
        written!.replaceAll(/\\(["\\n])/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped)),
        value
      )
    })
  )
})

it("renders a page of any length in slices of bounded length, as they are taken", () => {
  let made = 0
  function* samples() {
    for (; made < 100_000; made++) yield [{ backend: `10.0.0.1:${made}` }, made] as const
  }
  const slices = render([gauge("a", "A.", samples())])
  const first = slices.next()
  assert.isBelow(made, 2000)
  assert.isBelow(String(first.value).length, 40_000)
  const rest = [...slices]
  assert.isTrue(rest.every((slice) => slice.length < 40_000))
  assert.strictEqual([first.value, ...rest].join("").split("\n").length, 100_003)
})
