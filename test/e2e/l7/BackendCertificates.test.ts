import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { CertificateAuthority } from "../../../src/devserver/CertificateAuthority.ts"
import { SERVER } from "../../l7/Requests.ts"
import { startTlsBackend } from "../harness/Backend.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { startProxyIn } from "../harness/Proxy.ts"
import { splitAddress } from "../harness/Wire.ts"
import { ask, CLIENTS, l7Route } from "./Combined.ts"

const DAY_MS = 24 * 60 * 60 * 1000
const daysFromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS)

/** An authority whose certificates are valid from and up to so many days from now, and one for `SERVER`. */
const authority = Effect.fnUntraced(function* (from: number, to: number) {
  const validity = { from: daysFromNow(from), to: daysFromNow(to) }
  const made = yield* Effect.promise(() => CertificateAuthority.make("authority of backends", validity))
  const { certificate: cert, key } = yield* Effect.promise(() => made.issue(SERVER))
  return { ca: made.certificate, identity: { cert, key } }
})

it.live("asks no backend whose certificate is expired, not yet valid, of another name or of nobody known", () =>
  Effect.gen(function* () {
    const good = yield* authority(-1, 1)
    const expired = yield* authority(-2, -1)
    const cases = [
      { what: "expired", shown: expired, trusted: expired, name: SERVER, reason: "CERT_HAS_EXPIRED" },
      { what: "early", shown: yield* authority(1, 2), name: SERVER, reason: "CERT_NOT_YET_VALID" },
      { what: "other", shown: good, trusted: good, name: "other.test", reason: "ERR_TLS_CERT_ALTNAME_INVALID" },
      { what: "unknown", shown: good, trusted: expired, name: SERVER, reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }
    ]
    const folder = yield* temporaryFolder
    let bytes = 0
    const routes = yield* Effect.forEach(
      ["h2", "http/1.1"].flatMap((protocol) => cases.map((one) => ({ ...one, protocol }))),
      Effect.fnUntraced(function* ({ name, protocol, reason, shown, trusted = shown, what }, i) {
        const count = (socket: NodeJS.ReadableStream) =>
          void socket.on("data", (chunk: Buffer) => (bytes += chunk.length))
        const backend = yield* startTlsBackend(SERVER, count, { ...shown.identity, ALPNProtocols: [protocol] })
        const file = join(folder, `ca-${i}.pem`)
        writeFileSync(file, trusted.ca)
        const route = yield* l7Route(folder, `${what}-${i}.test`, backend)
        const overTls = { backend_tls: true, backend_ca: file, backend_server_name: name, backend_protocol: protocol }
        return { route: { ...route, ...overTls }, reason }
      })
    )
    const proxy = yield* startProxyIn(folder, { listeners: [{ routes: routes.map(({ route }) => route) }] })

    for (const { route } of routes) {
      for (const connect of CLIENTS) {
        const client = yield* connect(splitAddress(proxy.address), route.hostname)
        const refused = yield* ask(client)
        assert.strictEqual(refused.status, 502, route.hostname)
        const told = `${JSON.stringify(refused.fields)} ${refused.body.toString()}`
        assert.notMatch(told, /127\.0\.0\.1|CERT|TLS|mc-proxy/i)
        const fields = { "content-type": "application/grpc" }
        const call = yield* ask(client, { method: "POST", fields })
        assert.deepStrictEqual([call.status, call.fields["grpc-status"]], [200, "14"], route.hostname)
      }
    }
    yield* proxy.stop()
    assert.strictEqual(bytes, 0, "no backend was asked anything")
    for (const { reason, route } of routes) {
      const { backend, hostname } = route
      // Once for all four requests: no client can make it fill the log.
      const warnings = proxy.logLines.filter((line) => line["hostname"] === hostname)
      assert.deepStrictEqual(
        warnings.map(({ time: _time, ...line }) => line),
        [{ level: "warn", message: "a backend cannot be reached", hostname, backend, reason: `TLS: ${reason}` }]
      )
      const asked = proxy.requestLines.filter((line) => line.hostname === hostname)
      assert.deepStrictEqual(
        asked.map(({ status }) => status),
        [502, 502, 502, 502]
      )
    }
    const outcomes = proxy.accessLines.map(({ outcome }) => outcome)
    assert.deepStrictEqual([outcomes.length, ...new Set(outcomes)], [routes.length * CLIENTS.length, "done"])
  })
)
