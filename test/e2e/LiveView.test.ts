import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { X509Certificate } from "node:crypto"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { chromium, type Page } from "playwright-core"
import { VIEWERS_MAX } from "../../src/metrics/LiveView.ts"
import { startBackend } from "./harness/Backend.ts"
import { identityOf } from "./harness/Certificates.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { METRICS, type Proxy, startProxy, startProxyIn } from "./harness/Proxy.ts"
import { get } from "./harness/Scrape.ts"
import { within } from "./harness/Watch.ts"
import { connect } from "./harness/Wire.ts"

const LISTENER = "127.0.0.1:0"

/** A page that was opened, what its console said, and whom it asked. */
interface Opened {
  readonly page: Page
  readonly said: Array<string>
  readonly asked: Array<string>
}

const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        ...["--disable-background-networking", "--disable-component-update"]
      ]
    })
  ),
  (launched) => Effect.promise(() => launched.close())
)

const openPage = Effect.fnUntraced(function* (proxy: Proxy, colorScheme: "dark" | "light" = "light") {
  const launched = yield* browser
  const page = yield* Effect.promise(() => launched.newPage({ colorScheme, viewport: { width: 1200, height: 900 } }))
  const opened: Opened = { page, said: [], asked: [] }
  page.on("console", (message) => opened.said.push(message.text()))
  page.on("pageerror", (error) => opened.said.push(error.message))
  page.on("request", (request) => opened.asked.push(new URL(request.url()).origin))
  yield* Effect.promise(() => page.goto(`http://${proxy.metricsAddress}/`))
  return opened
})

/** Waits until an element reads so. */
const shows = (page: Page, selector: string, text: string) =>
  Effect.promise(() => page.locator(selector).filter({ hasText: text }).first().waitFor({ state: "visible" })).pipe(
    within(`${selector} to show ${text}`)
  )

it.live(
  "shows numbers that move when traffic flows, says nothing on the console, and asks nobody else",
  () =>
    Effect.gen(function* () {
      const backend = yield* startBackend()
      const routes = [
        { hostname: "a.test", backend: backend.address },
        { hostname: "b.test", backend: "127.0.0.1:1" }
      ]
      const proxy = yield* startProxy({
        listeners: [{ routes }],
        firewall: { blocked_ips: ["127.0.0.2"] },
        metrics: METRICS
      })
      const { asked, page, said } = yield* openPage(proxy)
      yield* shows(page, "#status", "accepting")
      yield* shows(page, "#active", "0")
      yield* shows(page, "#routes tr", "not asked for yet")

      const client = yield* connect(proxy.address)
      yield* client.send(hello("a.test"))
      const inner = yield* backend.next
      yield* inner.send("x".repeat(300_000))
      yield* client.received(300_000)
      yield* shows(page, "#active", "1")
      yield* shows(page, "#listeners-chart .u-legend", LISTENER)
      yield* shows(page, "#routes tr:has-text('a.test')", "reachable")

      const failing = yield* connect(proxy.address)
      yield* failing.send(hello("b.test"))
      yield* failing.ended
      const blocked = yield* connect(proxy.address, { from: "127.0.0.2" })
      yield* blocked.ended
      yield* shows(page, "#outcomes li", "dial_failed")
      yield* shows(page, "#outcomes li", "blocked_ip")
      yield* shows(page, "#blocked li", "ip")
      yield* shows(page, "#routes tr:has-text('b.test')", "unreachable")

      client.finish()
      inner.finish()
      yield* shows(page, "#outcomes li", "done")
      yield* shows(page, "#active", "0")
      assert.deepStrictEqual(said, [])
      assert.deepStrictEqual([...new Set(asked)], [`http://${proxy.metricsAddress}`])

      yield* Effect.promise(() => page.setViewportSize({ width: 390, height: 800 }))
      const overflow = yield* Effect.promise(() =>
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
      )
      assert.strictEqual(overflow, 0, "a phone need not be scrolled sideways")
      assert.deepStrictEqual(said, [])
    }),
  60_000
)

it.live("shows the certificates by when they end, and the routes that have none before them", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const { certificate, key } = yield* Effect.promise(() => identityOf("a.test"))
    for (const name of ["a", "b"]) {
      writeFileSync(join(folder, `${name}.pem`), certificate)
      writeFileSync(join(folder, `${name}.key`), key)
    }
    const l7 = (hostname: string, name: string) => ({
      hostname,
      backend: "127.0.0.1:1",
      mode: "l7",
      tls_cert: `${name}.pem`,
      tls_key: `${name}.key`
    })
    const listeners = [{ routes: [l7("a.test", "a"), l7("b.a.test", "b")] }]
    const config = { listeners, metrics: METRICS }
    yield* (yield* startProxyIn(folder, config)).stop()
    // The database has the route; its files are gone at the next start.
    rmSync(join(folder, "b.pem"))
    const { page, said } = yield* openPage(yield* startProxyIn(folder, config))
    yield* shows(page, "#certificates tr:nth-child(1)", "no certificate")
    yield* shows(page, "#certificates tr:nth-child(1)", "b.a.test")
    const until = new X509Certificate(certificate).validToDate.toISOString().slice(0, 10)
    yield* shows(page, "#certificates tr:nth-child(2)", until)
    yield* shows(page, "#routes tr:has-text('b.a.test')", "no certificate")
    assert.deepStrictEqual(said, [])
  })
)

it.live("lets nothing run but its own files, and names them to no cache", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: METRICS })
    for (const path of [
      "/",
      "/live/page.js",
      "/live/page.css",
      "/live/uplot.js",
      "/live/uplot.css",
      "/live/icon.svg"
    ]) {
      const { headers, status } = yield* get(proxy, path)
      assert.strictEqual(status, 200, path)
      assert.match(String(headers["content-security-policy"]), /^default-src 'none'; script-src 'self';/)
      assert.notInclude(String(headers["content-security-policy"]), "unsafe")
      assert.include(headers, { "x-content-type-options": "nosniff", "cache-control": "no-store" })
    }
    assert.strictEqual((yield* get(proxy, "/live/page.html")).status, 404)
  })
)

it.live("has few viewers at once, and lets the next one in when one has left", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: METRICS })
    const view = Effect.gen(function* () {
      const viewer = yield* connect(proxy.metricsAddress)
      yield* viewer.send("GET /live/events HTTP/1.1\r\nhost: a\r\n\r\n")
      yield* viewer.received(12)
      return { viewer, status: viewer.bytes.toString("latin1", 9, 12) }
    })
    const viewers = yield* Effect.replicateEffect(view, VIEWERS_MAX)
    for (const { status } of viewers) assert.strictEqual(status, "200")
    assert.strictEqual((yield* view).status, "503")
    viewers[0]!.viewer.reset()
    yield* Effect.scoped(Effect.map(view, ({ status }) => status)).pipe(
      Effect.repeat({ until: (status) => status === "200" }),
      within("a place for another viewer")
    )
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
  })
)

it.live("is not there with dashboard = false", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], metrics: { ...METRICS, dashboard: false } })
    for (const path of ["/", "/live/page.js", "/live/events"]) {
      assert.strictEqual((yield* get(proxy, path)).status, 404, path)
    }
  })
)
