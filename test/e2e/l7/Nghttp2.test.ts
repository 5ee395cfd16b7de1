import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { KINDS } from "../../l7/backend/World.ts"
import { trusted } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { runProgram } from "../harness/Program.ts"
import { METRICS, startProxyIn, type Proxy } from "../harness/Proxy.ts"
import { scrapeUntil } from "../harness/Scrape.ts"
import { splitAddress } from "../harness/Wire.ts"
import { BEHAVIOURS } from "./Behaviours.ts"
import { ask, CLIENTS, l7Route, NAMES, startSite } from "./Combined.ts"
import { startNghttpd } from "./Nghttpd.ts"

// nghttp2's own programs, as the client, as the backend, and as both.

const CONNECTIONS = 8
const STREAMS = 32

const VERSIONS = ["h2", "http/1.1"]

/** Has h2load send `count` requests with that body, and checks that all came back with it. */
const load = Effect.fnUntraced(function* (proxy: Proxy, name: string, version: string, count: number, body: Buffer) {
  const { port } = splitAddress(proxy.address)
  const file = join(yield* temporaryFolder, "body")
  writeFileSync(file, body)
  const ran = yield* runProgram("h2load", [
    ...[`--requests=${count}`, `--clients=${CONNECTIONS}`, `--max-concurrent-streams=${STREAMS}`, `--data=${file}`],
    ...[`--npn-list=${version}`, `--connect-to=127.0.0.1:${port}`, `https://${name}:${port}/echo`]
  ])
  const what = `${version} to ${name}`
  assert.deepInclude(ran, { code: 0, stderr: "" }, what)
  assert.include(ran.stdout, `Application protocol: ${version}\n`, what)
  const answered = `${count} total, ${count} started, ${count} done, ${count} succeeded, 0 failed, 0 errored, 0 timeout`
  assert.include(ran.stdout, `\nrequests: ${answered}\nstatus codes: ${count} 2xx, 0 3xx, 0 4xx, 0 5xx\n`, what)
  assert.match(ran.stdout, new RegExp(` \\(${count * body.length}\\) data\n`), what)
})

/** What the proxy tells of itself, by each of the ways in which it does, is that it was asked so often and no more. */
const assertAccounts = Effect.fnUntraced(function* (
  proxy: Proxy,
  names: ReadonlyArray<string>,
  eachOf: { readonly connections: number; readonly requests: number; readonly bytes: number }
) {
  const connections = names.length * eachOf.connections
  const closed = '{listener="127.0.0.1:0",outcome="done"}'
  const page = yield* scrapeUntil(
    proxy,
    "all connections to be closed",
    (page) => page.of("mcproxy_connections_closed_total")[closed] === connections
  )
  assert.deepStrictEqual(page.of("mcproxy_connections_active"), {})
  assert.strictEqual(page.get('mcproxy_connections_total{listener="127.0.0.1:0"}'), connections)
  const responses = names.map((name) => [`{hostname="${name}",code="200"}`, eachOf.requests])
  assert.deepStrictEqual(page.of("mcproxy_l7_responses_total"), Object.fromEntries(responses))
  yield* proxy.stop()
  assert.lengthOf(proxy.accessLines, connections)
  assert.lengthOf(proxy.requestLines, names.length * eachOf.requests)
  for (const name of names) {
    const lines = proxy.requestLines.filter(({ hostname }) => hostname === name)
    assert.lengthOf(lines, eachOf.requests)
    assert.isTrue(lines.every(({ status }) => status === 200))
    assert.strictEqual(
      lines.reduce((sum, { bytes }) => sum + bytes, 0),
      eachOf.bytes
    )
  }
})

it.live("answers each of h2load's requests, before every kind of backend, and its accounts are h2load's", () =>
  Effect.gen(function* () {
    const requests = 400
    const body = Buffer.alloc(2_000, "0123456789")
    const { proxy } = yield* startSite((request, response) => {
      request.on("error", () => {})
      response.on("error", () => {})
      BEHAVIOURS[request.url ?? ""]?.(request, response)
    })
    const names = KINDS.map(({ name }) => NAMES[name]!)
    for (const version of VERSIONS) {
      for (const name of names) yield* load(proxy, name, version, requests, body)
    }
    const total = VERSIONS.length * requests
    const each = { connections: VERSIONS.length * CONNECTIONS, requests: total, bytes: total * body.length }
    yield* assertAccounts(proxy, names, each)
  })
)

/** The proxy before nghttpd in the clear and over TLS. */
const startBeforeNghttpd = Effect.fnUntraced(function* (files: string) {
  const folder = yield* temporaryFolder
  const ca = join(folder, "backend-ca.pem")
  writeFileSync(ca, trusted)
  const clear = yield* l7Route(folder, "clear.test", yield* startNghttpd(files))
  const secure = yield* l7Route(folder, "secure.test", yield* startNghttpd(files, "backend.test"))
  const overTls = { backend_tls: true, backend_ca: ca, backend_server_name: "backend.test" }
  const routes = [clear, { ...secure, ...overTls }]
  return yield* startProxyIn(folder, { listeners: [{ routes }], metrics: METRICS })
})

const NGHTTPD_NAMES = ["clear.test", "secure.test"]

it.live("takes files, echoes and trailers from nghttpd, in the clear and over TLS", () =>
  Effect.gen(function* () {
    const files = yield* temporaryFolder
    const large = Buffer.alloc(1_500_000, "abcdefghij")
    writeFileSync(join(files, "large"), large)
    const proxy = yield* startBeforeNghttpd(files)
    for (const name of NGHTTPD_NAMES) {
      for (const connect of CLIENTS) {
        const client = yield* connect(splitAddress(proxy.address), name)
        const fields = { te: "trailers" }
        // nghttpd says how long a body is, and HTTP/1.1 has trailers only behind one in chunks (RFC 9112 7.1.2).
        const trailer = client.version === "HTTP/2" ? "nghttpd" : undefined
        const got = yield* ask(client, { path: "/large", fields })
        assert.deepStrictEqual([got.status, got.body.equals(large), got.isWhole], [200, true, true])
        const echoed = yield* ask(client, { method: "POST", path: "/", body: large, fields })
        assert.deepStrictEqual([echoed.status, echoed.body.equals(large), echoed.isWhole], [200, true, true])
        assert.deepStrictEqual([got.trailers["x-out"], echoed.trailers["x-out"]], [trailer, trailer])
        const head = yield* ask(client, { method: "HEAD", path: "/large" })
        assert.deepStrictEqual([head.status, head.body.length], [200, 0])
        assert.strictEqual(head.fields["content-length"], String(large.length))
        assert.strictEqual((yield* ask(client, { path: "/nothing" })).status, 404)
      }
    }
  })
)

it.live("carries thousands of requests from h2load to nghttpd, in the clear and over TLS", () =>
  Effect.gen(function* () {
    const requests = 1_000
    const body = Buffer.alloc(1_000, "0123456789")
    const proxy = yield* startBeforeNghttpd(yield* temporaryFolder)
    for (const name of NGHTTPD_NAMES) yield* load(proxy, name, "h2", requests, body)
    yield* assertAccounts(proxy, NGHTTPD_NAMES, { connections: CONNECTIONS, requests, bytes: requests * body.length })
  })
)
