import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { CertificateAuthority } from "../../src/devserver/CertificateAuthority.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"

const hostname = (name: string) => Result.getOrThrow(parseHostname(name))
const FROM = new Date("2026-11-22T17:45:01.789Z")
const TO = new Date("2027-11-22T17:45:01.789Z")
const makeAuthority = () => CertificateAuthority.make("some authority", { from: FROM, to: TO })

describe("CertificateAuthority", () => {
  it("issues certificates that verify for their name and no other", async () => {
    const authority = await makeAuthority()
    const root = new X509Certificate(authority.certificate)
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){1,2}$/), async (name) => {
        fc.pre(Result.isSuccess(parseHostname(name)))
        const identity = await authority.issue(hostname(name))
        const certificate = new X509Certificate(identity.certificate)
        assert.isTrue(certificate.verify(root.publicKey))
        assert.isTrue(certificate.checkIssued(root))
        assert.isTrue(certificate.checkPrivateKey(createPrivateKey(identity.key)))
        assert.strictEqual(certificate.checkHost(name), name)
        assert.isUndefined(certificate.checkHost(`x.${name}`))
      }),
      { numRuns: 30 }
    )
  })

  it("says what its certificates may be used for", async () => {
    const authority = await makeAuthority()
    const root = new X509Certificate(authority.certificate)
    const leaf = new X509Certificate((await authority.issue(hostname("a.test"))).certificate)
    assert.isTrue(root.ca)
    assert.isFalse(leaf.ca)
    // The basic constraints, critical: an authority without intermediates, and none (RFC 5280 4.2.1.9).
    assert.include(root.raw.toString("hex"), "0603551d130101ff040830060101ff020100")
    assert.include(leaf.raw.toString("hex"), "0603551d130101ff04023000")
    assert.deepStrictEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1"])
    assert.strictEqual(leaf.subjectAltName, "DNS:a.test")
    assert.strictEqual(leaf.subject, "CN=a.test")
    assert.strictEqual(leaf.issuer, root.subject)
    assert.strictEqual(leaf.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1")
  })

  it("is valid from and to the second that was asked for", async () => {
    const authority = await makeAuthority()
    for (const pem of [authority.certificate, (await authority.issue(hostname("a.test"))).certificate]) {
      const { validFromDate, validToDate } = new X509Certificate(pem)
      assert.strictEqual(validFromDate.toISOString(), "2026-11-22T17:45:01.000Z")
      assert.strictEqual(validToDate.toISOString(), "2027-11-22T17:45:01.000Z")
    }
  })

  it("gives every certificate a key and a serial number of its own", async () => {
    const authority = await makeAuthority()
    const [first, second] = [await authority.issue(hostname("a.test")), await authority.issue(hostname("a.test"))]
    const pems = [authority.certificate, first.certificate, second.certificate]
    const certificates = pems.map((pem) => new X509Certificate(pem))
    assert.strictEqual(new Set(certificates.map(({ serialNumber }) => serialNumber)).size, 3)
    const keys = certificates.map(({ publicKey }) => publicKey.export({ type: "spki", format: "der" }).toString("hex"))
    assert.strictEqual(new Set(keys).size, 3)
  })

  it("does not verify what another authority of the same name issued", async () => {
    const authority = await makeAuthority()
    const certificate = new X509Certificate((await authority.issue(hostname("a.test"))).certificate)
    const other = new X509Certificate((await makeAuthority()).certificate)
    assert.isFalse(certificate.verify(other.publicKey))
    assert.isFalse(certificate.checkIssued(other))
  })
})
