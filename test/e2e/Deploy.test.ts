import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { runProgram } from "./harness/Program.ts"
import { METRICS, startProxy } from "./harness/Proxy.ts"
import { scrape } from "./harness/Scrape.ts"

const pathOf = (name: string) => fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url))
const DASHBOARD = pathOf("grafana/mc-proxy.json")
const ALERTS = pathOf("prometheus/alerts.yml")

it.live("names no metric in the dashboard and the alerts that the proxy does not have", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: METRICS })
    const { text } = yield* scrape(proxy)
    const types = new Map(Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => [name!, type!]))
    for (const file of [DASHBOARD, ALERTS]) {
      const named = new Set(readFileSync(file, "utf8").match(/\b(?:mcproxy|process|nodejs)_[a-z0-9_]+/g))
      assert.isAbove(named.size, 10)
      for (const name of named) {
        const family = name.replace(/_(?:bucket|sum|count)$/, "")
        assert.isTrue(types.has(name) || types.get(family) === "histogram", `${name} in ${file}`)
      }
    }
  })
)

it.live("has alert rules that Prometheus accepts", () =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* runProgram("promtool", ["check", "rules", ALERTS])
    assert.strictEqual(code, 0, stderr + stdout)
    assert.match(stdout, /SUCCESS: \d+ rules found/)
  })
)

it("has a dashboard of panels that have a place of their own, and a source that is chosen", () => {
  const { panels } = JSON.parse(readFileSync(DASHBOARD, "utf8")) as { readonly panels: ReadonlyArray<Panel> }
  assert.strictEqual(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const [i, one] of panels.entries()) {
    assert.isAtMost(one.gridPos.x + one.gridPos.w, GRID_COLUMNS, one.title)
    assert.strictEqual(one.datasource.uid, "${datasource}", one.title)
    for (const other of panels.slice(i + 1)) assert.isFalse(overlap(one, other), `${one.title} and ${other.title}`)
  }
})

const GRID_COLUMNS = 24

interface Panel {
  readonly id: number
  readonly title: string
  readonly datasource: { readonly uid: string }
  readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>
}

const overlap = ({ gridPos: one }: Panel, { gridPos: other }: Panel): boolean =>
  one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h
