import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { X509Certificate } from "node:crypto"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Identity } from "../../src/devserver/CertificateAuthority.ts"
import { grpcAdmin } from "./harness/Admin.ts"
import { identityOf } from "./harness/Certificates.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { ADMIN, METRICS, startProxy, startProxyIn, type Proxy } from "./harness/Proxy.ts"
import { scrape } from "./harness/Scrape.ts"

const LISTENER = "127.0.0.1:0"
const [A, B, WILDCARD] = (await Promise.all(["a.test", "b.test", "*.x.test"].map(identityOf))) as [
  Identity,
  Identity,
  Identity
]

/** A certificate and its key in files of a folder of their own. */
const pairIn = (folder: string, name: string) => {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  const replace = (file: string, text: string) => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  return {
    cert,
    key,
    remove: () => rmSync(cert),
    put: ({ certificate }: Pick<Identity, "certificate">, { key: own }: Pick<Identity, "key">) => {
      replace(cert, certificate)
      replace(key, own)
    }
  }
}

const l7 = (hostname: string, { cert, key }: { readonly cert: string; readonly key: string }) => ({
  hostname,
  backend: "127.0.0.1:1",
  mode: "l7",
  tls_cert: cert,
  tls_key: key
})

/** When the metrics say that the certificate of a.test ends. */
const notAfter = (proxy: Proxy) =>
  Effect.map(scrape(proxy), (page) =>
    page.get(`mcproxy_certificate_not_after_timestamp_seconds{listener="${LISTENER}",hostname="a.test"}`)
  )

const endOf = ({ certificate }: Identity): number => new X509Certificate(certificate).validToDate.getTime() / 1000

const problemsOf = Effect.fnUntraced(function* (proxy: Proxy) {
  const ask = yield* grpcAdmin(proxy)
  const { listeners } = yield* ask("GetStatus")
  return JSON.stringify(listeners)
})

it.live("starts without a certificate that has gone, says so everywhere, and takes it at SIGHUP once it is back", () =>
  Effect.gen(function* () {
    const pair = pairIn(yield* temporaryFolder, "a")
    pair.put(A, A)
    const config = { listeners: [{ routes: [l7("a.test", pair)] }], grpc: ADMIN, metrics: METRICS }
    const first = yield* startProxy(config)
    assert.strictEqual(yield* notAfter(first), endOf(A))
    yield* first.stop()

    pair.remove()
    const proxy = yield* startProxyIn(first.folder, config)
    const missing = yield* proxy.logged("no certificate to serve")
    assert.include(missing, { level: "error", path: pair.cert, reason: "no such file; check the path" })
    assert.strictEqual(yield* notAfter(proxy), 0)
    assert.include(yield* problemsOf(proxy), "no such file; check the path; its connections are reset")

    pair.put(A, A)
    proxy.signal("SIGHUP")
    yield* proxy.logged("reloaded certificates and keys")
    assert.strictEqual(yield* notAfter(proxy), endOf(A))
    assert.notInclude(yield* problemsOf(proxy), "no such file")
  })
)

it.live("keeps a certificate when the files that replace it do not belong together, and answers which", () =>
  Effect.gen(function* () {
    const pair = pairIn(yield* temporaryFolder, "a")
    pair.put(A, A)
    const proxy = yield* startProxy({
      listeners: [{ routes: [l7("a.test", pair)] }],
      grpc: ADMIN,
      metrics: METRICS
    })
    const ask = yield* grpcAdmin(proxy)
    pair.put(A, B)
    assert.deepNestedInclude(yield* ask("Reload"), { reloaded: [], "failed[0].path": pair.key })
    assert.include(yield* proxy.logged("kept the old certificate"), { level: "error", path: pair.key })
    assert.strictEqual(yield* notAfter(proxy), endOf(A))
    assert.include(yield* problemsOf(proxy), "the certificate from before is served")
    pair.put(A, A)
    assert.deepNestedInclude(yield* ask("Reload"), { reloaded: [pair.cert, pair.key], failed: [] })
    assert.notInclude(yield* problemsOf(proxy), "is not the key")
  })
)

it.live("warns at start, and of each route that is added, where browsers will coalesce", () =>
  Effect.gen(function* () {
    const pair = pairIn(yield* temporaryFolder, "wildcard")
    pair.put(WILDCARD, WILDCARD)
    const proxy = yield* startProxy({
      listeners: [{ routes: [l7("a.x.test", pair), { hostname: "b.x.test", backend: "127.0.0.1:1" }] }],
      grpc: ADMIN
    })
    const warning = (name: string) => `the certificate of a.x.test also covers ${name} on ${LISTENER}: `
    assert.strictEqual((yield* proxy.logged(warning("b.x.test"))).level, "warn")
    const ask = yield* grpcAdmin(proxy)
    const route = { hostname: "c.x.test", backend: "127.0.0.1:1" }
    const { warnings } = yield* ask("AddRoute", { listener_addr: LISTENER, route })
    assert.match(JSON.stringify(warnings), new RegExp(`^\\["${warning("c.x.test")}`))
  })
)
