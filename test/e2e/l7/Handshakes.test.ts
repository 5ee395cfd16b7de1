import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { X509Certificate } from "node:crypto"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { ConnectionOptions } from "node:tls"
import { CertificateAuthority } from "../../../src/devserver/CertificateAuthority.ts"
import { SERVER } from "../../l7/Requests.ts"
import { grpcAdmin } from "../harness/Admin.ts"
import { startTlsBackend } from "../harness/Backend.ts"
import { builtBinary } from "../harness/Binary.ts"
import { identityOf, trusted } from "../harness/Certificates.ts"
import { runProgram } from "../harness/Program.ts"
import { ADMIN, startProxy, startProxyIn, type Proxy } from "../harness/Proxy.ts"
import { connect } from "../harness/Wire.ts"
import { startHttp1Backend } from "./HttpBackend.ts"
import { routeTo, startL7 } from "./L7Site.ts"
import { connectHttp1, connectTls, helloFor, type TlsClient } from "./TlsClient.ts"

const PATH_ASKED = "/asked"

/** Asks on the connection, which is the client's alone, and checks that it is answered. */
const assertServed = Effect.fnUntraced(function* (client: TlsClient) {
  const before = client.length
  yield* client.send(`GET ${PATH_ASKED} HTTP/1.1\r\nHost: ${SERVER}\r\n\r\n`)
  const answer = yield* client.until("an answer", (bytes, ending) => {
    const text = bytes.toString("latin1", before)
    return ending !== undefined || text.includes(`\r\n${PATH_ASKED}`) ? text : undefined
  })
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
})

const UNWANTED: Readonly<Record<string, { readonly options: ConnectionOptions; readonly alert: RegExp }>> = {
  "no version": {
    options: { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    alert: /ALERT_PROTOCOL_VERSION/
  },
  "no cipher": {
    options: { maxVersion: "TLSv1.2", ciphers: "AES128-SHA" },
    alert: /ALERT_HANDSHAKE_FAILURE/
  },
  "no protocol": { options: { ALPNProtocols: ["spdy/3"] }, alert: /ALERT_NO_APPLICATION_PROTOCOL/ }
}

it.live("ends handshakes without anything in common by an alert that says what is missing", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startHttp1Backend())
    for (const { alert, options } of Object.values(UNWANTED)) {
      const failed = yield* Effect.flip(connectHttp1(proxy.address, options))
      assert.match(failed.code, alert)
      const { hostname, mode, outcome } = yield* proxy.access()
      assert.deepStrictEqual([hostname, mode, outcome], [SERVER, "l7", "handshake_failed"])
    }
  })
)

it.live("ends handshakes that break off or are late, each by its name", () =>
  Effect.gen(function* () {
    const proxy = yield* startL7(yield* startHttp1Backend(), { proxy: { handshake_timeout: "1s" } })
    const hello = yield* helloFor(SERVER)
    const begin = Effect.gen(function* () {
      const client = yield* connect(proxy.address)
      yield* client.send(hello)
      yield* client.received(1)
      return client
    })
    const late = yield* begin
    const garbled = yield* begin
    yield* garbled.send(Buffer.alloc(64, 0x7f))
    const finished = yield* begin
    finished.finish()
    const reset = yield* begin
    reset.reset()
    assert.strictEqual((yield* proxy.accessOf(garbled)).outcome, "handshake_failed")
    assert.strictEqual((yield* proxy.accessOf(finished)).outcome, "handshake_failed")
    assert.strictEqual((yield* proxy.accessOf(reset)).outcome, "reset")
    assert.strictEqual(yield* late.ended, "fin")
    assert.strictEqual((yield* proxy.accessOf(late)).outcome, "handshake_timeout")
  })
)

it.live("resets who comes while the certificate is missing, and serves after mcproxyctl reload", () =>
  Effect.gen(function* () {
    const route = yield* routeTo(yield* startHttp1Backend())
    const config = { listeners: [{ routes: [route] }], grpc: ADMIN }
    const first = yield* startProxy(config)
    yield* first.stop()
    const { certificate } = yield* Effect.promise(() => identityOf(SERVER))
    rmSync(route.tls_cert)

    const proxy = yield* startProxyIn(first.folder, config)
    const refused = yield* connect(proxy.address)
    yield* refused.send(yield* helloFor(SERVER))
    assert.strictEqual(yield* refused.ended, "reset")
    assert.strictEqual(refused.length, 0)
    assert.strictEqual((yield* proxy.accessOf(refused)).outcome, "certificate_unavailable")

    writeFileSync(route.tls_cert, certificate)
    const ctl = join(dirname(builtBinary()), "mcproxyctl.js")
    const reload = yield* runProgram(process.execPath, [ctl, "--socket", proxy.adminSocket, "reload"])
    assert.deepInclude(reload, { code: 0, stderr: "" })
    assert.include(reload.stdout, route.tls_cert)
    yield* assertServed(yield* connectHttp1(proxy.address))
  })
)

it.live("serves a new certificate from the next handshake on, and resumes the sessions of before", () =>
  Effect.gen(function* () {
    const route = yield* routeTo(yield* startHttp1Backend())
    const proxy = yield* startProxy({ listeners: [{ routes: [route] }], grpc: ADMIN })
    const ask = yield* grpcAdmin(proxy)
    const ca = [trusted, other.certificate]
    const live = yield* connectHttp1(proxy.address, { ca })
    yield* assertServed(live)
    const old = serialOf(live)
    const sessions = yield* Effect.forEach(VERSIONS, (maxVersion) => sessionOf(proxy, { ca, maxVersion }))

    const { certificate, key } = yield* Effect.promise(() => other.issue(SERVER))
    replace(route.tls_cert, certificate)
    yield* ask("Reload")
    // The certificate is not the key's: the old pair is kept.
    assert.strictEqual(serialOf(yield* connectHttp1(proxy.address, { ca })), old)
    replace(route.tls_key, key)
    proxy.signal("SIGHUP")
    yield* proxy.logged("reloaded certificates and keys")
    const renewed = yield* connectHttp1(proxy.address, { ca })
    assert.strictEqual(serialOf(renewed), new X509Certificate(certificate).serialNumber)
    yield* assertServed(renewed)
    yield* assertServed(live)

    for (const [i, maxVersion] of VERSIONS.entries()) {
      const resumed = yield* connectHttp1(proxy.address, { ca, maxVersion, session: sessions[i] })
      assert.isTrue(resumed.tls.isSessionReused(), maxVersion)
      yield* assertServed(resumed)
    }
  })
)

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const

/** An authority whose certificates differ from those of the tests' own. */
const other = await CertificateAuthority.make("another authority", {
  from: new Date(Date.now() - 60_000),
  to: new Date(Date.now() + 86_400_000)
})

/** A session that the proxy has given a ticket for; in TLS 1.3 it comes behind the handshake. */
const sessionOf = Effect.fnUntraced(function* (proxy: Proxy, options: ConnectionOptions) {
  const client = yield* connectHttp1(proxy.address, options)
  yield* assertServed(client)
  return client.tickets.at(-1)!
})

const replace = (file: string, text: string) => {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

const serialOf = ({ tls }: TlsClient): string => tls.getPeerX509Certificate()!.serialNumber

it.live("relays one name and ends TLS for another on the same listener", () =>
  Effect.gen(function* () {
    const relayed = "relayed.test"
    const backend = yield* startTlsBackend(relayed, (socket) => socket.end("from the backend itself"))
    const routes = [yield* routeTo(yield* startHttp1Backend()), { hostname: relayed, backend }]
    const proxy = yield* startProxy({ listeners: [{ routes }] })
    const l4 = yield* connectTls(proxy.address, { servername: relayed, ALPNProtocols: [] })
    yield* l4.matches(/^from the backend itself$/)
    const l7 = yield* connectHttp1(proxy.address)
    yield* assertServed(l7)
    l4.finish()
    l7.finish()
    assert.include(yield* proxy.accessOf(l4), { mode: "l4", hostname: relayed, outcome: "done" })
    assert.include(yield* proxy.accessOf(l7), { mode: "l7", hostname: SERVER, outcome: "done" })
  })
)
