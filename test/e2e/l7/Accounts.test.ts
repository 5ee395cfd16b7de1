import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { dirname, join } from "node:path"
import { headers, PREFACE, TYPE } from "../../l7/Http2Frames.ts"
import { pseudo, SERVER } from "../../l7/Requests.ts"
import { grpcAdmin } from "../harness/Admin.ts"
import { refusingAddress } from "../harness/Backend.ts"
import { builtBinary } from "../harness/Binary.ts"
import { runProgram } from "../harness/Program.ts"
import { scrape } from "../harness/Scrape.ts"
import { startHeldBackend } from "./HeldBackend.ts"
import { routeTo, startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls } from "./TlsClient.ts"

const LISTENER = "127.0.0.1:0"
const DOWN = "down.example.net"

it.live("tells of each request and connection what it was and how many bytes its socket carried", () =>
  Effect.gen(function* () {
    const backend = yield* startHeldBackend
    const down = { address: yield* refusingAddress, protocol: "http/1.1" as const }
    const policies = [{ type: "require_header", value: "x-key" }]
    const routes = [yield* routeTo(backend), yield* routeTo(down, { l7_policies: policies }, DOWN)]
    const proxy = yield* startL7(backend, { listeners: [{ routes }] })

    const one = yield* connectHttp1(proxy.address)
    yield* one.send(`POST /a/b?secret=1 HTTP/1.1\r\nHost: ${SERVER}\r\nContent-Length: 3\r\n\r\nabc`)
    yield* one.matches(/\/a\/b\?secret=1/)
    yield* one.send(`GET /x HTTP/1.1\r\nHost: ${DOWN}\r\n\r\n`)
    yield* one.matches(/421 Misdirected Request[^]*\n$/)
    one.finish()
    yield* one.ended
    const two = yield* connectTls(proxy.address, { servername: DOWN })
    yield* two.send(Buffer.concat([PREFACE, headers(1, pseudo({ ":authority": DOWN, ":path": "/y" }))]))
    yield* two.frame("an answer", ({ stream, type }) => stream === 1 && type === TYPE.headers)
    yield* two.send(headers(3, [...pseudo({ ":authority": DOWN, ":path": "/z" }), "x-key", "1"]))
    yield* two.frame("an answer", ({ stream, type }) => stream === 3 && type === TYPE.headers)
    two.finish()
    yield* two.ended

    const told = yield* Effect.forEach(["/a/b", "/x", "/y", "/z"], (asked) =>
      proxy.request(({ path }) => path === asked)
    )
    const lines = [yield* proxy.accessOf(one), yield* proxy.accessOf(two)]
    const of = (i: number, hostname: string) => ({
      id: lines[i]!.id,
      listener: LISTENER,
      client: lines[i]!.client,
      hostname
    })
    assert.deepStrictEqual(
      told.map(({ duration_ms: _duration, time: _time, ...line }) => line),
      [
        { ...of(0, SERVER), method: "POST", path: "/a/b", status: 200, bytes: "/a/b?secret=1".length },
        { ...of(0, SERVER), method: "GET", path: "/x", status: 421, bytes: 0 },
        { ...of(1, DOWN), method: "GET", path: "/y", status: 403, bytes: 0 },
        { ...of(1, DOWN), method: "GET", path: "/z", status: 502, bytes: 0 }
      ]
    )
    for (const [i, client] of [one, two].entries()) {
      const { sent, received } = client.carried
      assert.include(lines[i], { from_client: sent, from_backend: received, mode: "l7", outcome: "done", rule: "" })
    }
    assert.deepStrictEqual(
      lines.map(({ backend: address, hostname }) => [hostname, address]),
      [
        [SERVER, backend.address],
        [DOWN, down.address]
      ]
    )

    const page = yield* scrape(proxy)
    assert.deepStrictEqual(page.of("mcproxy_l7_responses_total"), {
      [`{hostname="${SERVER}",code="200"}`]: 1,
      [`{hostname="${SERVER}",code="421"}`]: 1,
      [`{hostname="${DOWN}",code="403"}`]: 1,
      [`{hostname="${DOWN}",code="502"}`]: 1
    })
    assert.deepStrictEqual(page.of("mcproxy_l7_policy_blocked_total"), {
      [`{hostname="${DOWN}",type="require_header"}`]: 1
    })
    assert.deepStrictEqual(page.of("mcproxy_l7_request_duration_seconds_count"), {
      [`{hostname="${SERVER}"}`]: 2,
      [`{hostname="${DOWN}"}`]: 2
    })
    assert.deepStrictEqual(page.of("mcproxy_transferred_bytes_total"), {
      [`{listener="${LISTENER}",direction="from_client"}`]: one.carried.sent + two.carried.sent,
      [`{listener="${LISTENER}",direction="from_backend"}`]: one.carried.received + two.carried.received
    })
    assert.deepStrictEqual(page.of("mcproxy_connections_closed_total"), {
      [`{listener="${LISTENER}",outcome="done"}`]: 2
    })
  })
)

it.live("explains a route on L7, and closes a connection of it, by mcproxyctl", () =>
  Effect.gen(function* () {
    const backend = yield* startHeldBackend
    const proxy = yield* startL7(backend)
    const ctl = (...args: ReadonlyArray<string>) =>
      runProgram(process.execPath, [
        ...[join(dirname(builtBinary()), "mcproxyctl.js"), "--socket", proxy.adminSocket],
        ...args
      ])
    const explained = yield* ctl("explain", LISTENER, "192.0.2.1", SERVER)
    assert.deepInclude(explained, { code: 0, stderr: "" })
    assert.match(explained.stdout, /^outcome: routed\n/)
    assert.match(explained.stdout, new RegExp(`\\nroute +pass +l7 to ${backend.address}\\n`))
    assert.match(explained.stdout, /\nterminate +unknown /)

    const client = yield* connectHttp1(proxy.address)
    yield* client.send(`GET /held HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
    yield* backend.holds(1)
    const admin = yield* grpcAdmin(proxy)
    const { connections } = yield* admin("ListConnections")
    const [open] = connections as ReadonlyArray<{ readonly id: string; readonly mode: string }>
    assert.include(open, { mode: "ROUTE_MODE_L7" })
    assert.deepInclude(yield* ctl("connections", "close", open!.id), { code: 0, stderr: "" })
    assert.strictEqual(yield* client.ended, "reset")
    assert.strictEqual((yield* proxy.accessOf(client)).outcome, "closed_by_admin")
    assert.isNull((yield* proxy.request(({ path }) => path === "/held")).status)
  })
)
