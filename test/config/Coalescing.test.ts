import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { X509Certificate } from "node:crypto"
import { coalescingWarnings, coalescingWarningsOf } from "../../src/config/Coalescing.ts"
import type { Route } from "../../src/snapshot/Snapshot.ts"
import { identityOf } from "../e2e/harness/Certificates.ts"
import { hostname, ROUTE, TERMINATED } from "../pipeline/World.ts"

const CERTIFICATES = ["*.example.net", "a.example.net", "*.b.example.net", "example.net"]
const NAMES = ["a.example.net", "b.example.net", "c.b.example.net", "example.net", "example.com", "net"]

const identities = await Promise.all(CERTIFICATES.map(identityOf))

/** Each certificate in a file of its own. */
const files = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const folder = yield* fileSystem.makeTempDirectoryScoped()
  return yield* Effect.forEach(identities, ({ certificate }, i) => {
    const path = `${folder}/${i}.pem`
    return Effect.as(fileSystem.writeFileString(path, certificate), path)
  })
})

const l4 = (name: string): Route => ({ ...ROUTE, hostname: hostname(name) })
const l7 = (name: string, tlsCert: string): Route => ({ ...TERMINATED, hostname: hostname(name), tlsCert })

/** Which name's certificate covers which other. */
const pairsOf = (warnings: ReadonlyArray<string>): ReadonlyArray<string> =>
  warnings
    .map((line) => /^the certificate of (\S+) also covers (\S+) on :443: .* 421 for \2$/.exec(line)!.slice(1).join())
    .sort()

describe("coalescing", () => {
  it.live("is warned of for every name that a certificate is good for, and has a route of its own", () =>
    Effect.gen(function* () {
      const paths = yield* files
      for (const [i, path] of paths.entries()) {
        const certificate = new X509Certificate(identities[i]!.certificate)
        for (const own of NAMES) {
          const routes = NAMES.map((name) => (name === own ? l7(name, path) : l4(name)))
          const covered = NAMES.filter((name) => name !== own && certificate.checkHost(name) !== undefined)
          const warnings = yield* coalescingWarnings([{ addr: ":443", routes }])
          assert.deepStrictEqual(pairsOf(warnings), covered.map((name) => `${own},${name}`).sort())
        }
      }
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.live("is not warned of across listeners, nor for what cannot be read", () =>
    Effect.gen(function* () {
      const [wildcard = ""] = yield* files
      const listeners = [
        { addr: ":443", routes: [l7("a.example.net", wildcard)] },
        { addr: ":8443", routes: [l4("b.example.net"), l7("c.example.net", "/nowhere.pem")] }
      ]
      assert.deepStrictEqual(yield* coalescingWarnings(listeners), [])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.live("is warned of at a route that is added for its own certificate and for those that are there", () =>
    Effect.gen(function* () {
      const [wildcard = ""] = yield* files
      const there = [l7("a.example.net", wildcard), l4("b.example.net"), l4("example.com")]
      const added = (route: Route) => Effect.map(coalescingWarningsOf(":443", route, there), pairsOf)
      assert.deepStrictEqual(yield* added(l4("c.example.net")), ["a.example.net,c.example.net"])
      assert.deepStrictEqual(yield* added(l4("c.example.com")), [])
      assert.deepStrictEqual(yield* added(l7("c.example.net", wildcard)), [
        "a.example.net,c.example.net",
        "c.example.net,a.example.net",
        "c.example.net,b.example.net"
      ])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
