/**
 * A throw-away certificate authority: ECDSA P-256, in memory alone.
 *
 * Its private key is never given out and ends with the object, so that nobody who comes to trust its certificate can
 * be deceived by a key left behind on a disk. Not for production: no revocation, no intermediate.
 */
import "reflect-metadata" // @peculiar/x509 needs it, and does not import it.
import * as x509 from "@peculiar/x509"
import type { webcrypto } from "node:crypto"
import type { Hostname } from "../snapshot/Hostname.ts"

/** What a TLS server shows and proves, in PEM. */
export interface Identity {
  readonly certificate: string
  readonly key: string
}

export interface Validity {
  readonly from: Date
  /** The last second that counts. */
  readonly to: Date
}

export class CertificateAuthority {
  readonly #certificate: x509.X509Certificate
  readonly #keys: webcrypto.CryptoKeyPair
  readonly #validity: Validity

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair, validity: Validity) {
    this.#certificate = certificate
    this.#keys = keys
    this.#validity = validity
  }

  /** `validity` holds for all that it issues, too. */
  static async make(name: string, validity: Validity): Promise<CertificateAuthority> {
    const keys = await makeKeys()
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [name] }],
      keys,
      notBefore: validity.from,
      notAfter: validity.to,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey)
      ]
    })
    return new CertificateAuthority(certificate, keys, validity)
  }

  /** PEM. */
  get certificate(): string {
    return `${this.#certificate.toString("pem")}\n`
  }

  /** A TLS server's identity for one name, with a key of its own. */
  async issue(hostname: Hostname): Promise<Identity> {
    const keys = await makeKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [hostname] }],
      issuer: this.#certificate.subjectName,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      notBefore: this.#validity.from,
      notAfter: this.#validity.to,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: hostname }]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey)
      ]
    })
    const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")
    return { certificate: `${certificate.toString("pem")}\n`, key: `${key}\n` }
  }
}

const SIGNING = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }

const makeKeys = (): Promise<webcrypto.CryptoKeyPair> => crypto.subtle.generateKey(SIGNING, true, ["sign", "verify"])
