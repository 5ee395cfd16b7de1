/**
 * A throw-away certificate authority: ECDSA P-256, in memory alone.
 *
 * Its private key is never given out and ends with the object, so that nobody who comes to trust its certificate can
 * be deceived by a key left behind on a disk. Not for production: no revocation, no intermediate.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto"
import type { Hostname } from "../snapshot/Hostname.ts"
import * as Der from "./Der.ts"

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
  /** PEM. */
  readonly certificate: string
  readonly #name: string
  readonly #keys = makeKeys()
  readonly #validity: Validity

  /** `validity` holds for all that it issues, too. */
  constructor(name: string, validity: Validity) {
    this.#name = name
    this.#validity = validity
    this.certificate = this.#certify(name, this.#keys.publicKey, [
      critical(BASIC_CONSTRAINTS, Der.sequence(Der.boolean(true), NO_INTERMEDIATES)),
      critical(KEY_USAGE, KEY_CERT_SIGN)
    ])
  }

  /** A TLS server's identity for one name, with a key of its own. */
  issue(hostname: Hostname): Identity {
    const { publicKey, privateKey } = makeKeys()
    const certificate = this.#certify(hostname, publicKey, [
      critical(BASIC_CONSTRAINTS, Der.sequence()),
      critical(KEY_USAGE, DIGITAL_SIGNATURE),
      extension(EXTENDED_KEY_USAGE, Der.sequence(SERVER_AUTH)),
      extension(SUBJECT_ALT_NAME, Der.sequence(Der.implicit(DNS_NAME, Buffer.from(hostname, "latin1"))))
    ])
    return { certificate, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() }
  }

  /** RFC 5280 4.1. */
  #certify(subject: string, publicKey: KeyObject, extensions: ReadonlyArray<Der.Der>): string {
    const authorityKey = Der.sequence(Der.implicit(0, keyIdentifier(this.#keys.publicKey)))
    const content = Der.sequence(
      Der.explicit(0, VERSION_3),
      Der.integer(randomBytes(SERIAL_BYTES)),
      ECDSA_WITH_SHA256,
      distinguishedName(this.#name),
      Der.sequence(Der.time(this.#validity.from), Der.time(this.#validity.to)),
      distinguishedName(subject),
      subjectPublicKeyInfo(publicKey),
      Der.explicit(
        3,
        Der.sequence(
          ...extensions,
          extension(SUBJECT_KEY_IDENTIFIER, Der.octetString(keyIdentifier(publicKey))),
          extension(AUTHORITY_KEY_IDENTIFIER, authorityKey)
        )
      )
    )
    const signature = sign("sha256", content, this.#keys.privateKey)
    return pem(Der.sequence(content, ECDSA_WITH_SHA256, Der.bitString(signature)))
  }
}

const makeKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" })

const distinguishedName = (commonName: string): Der.Der =>
  Der.sequence(Der.set(Der.sequence(COMMON_NAME, Der.utf8String(commonName))))

const extension = (id: Der.Der, value: Der.Der): Der.Der => Der.sequence(id, Der.octetString(value))

/** One that a reader who does not know it must refuse. */
const critical = (id: Der.Der, value: Der.Der): Der.Der => Der.sequence(id, Der.boolean(true), Der.octetString(value))

const subjectPublicKeyInfo = (key: KeyObject): Uint8Array => key.export({ type: "spki", format: "der" })

/** The SHA-1 of the key's bits, which here are the uncompressed point at the end (RFC 5280 4.2.1.2). */
const keyIdentifier = (key: KeyObject): Uint8Array =>
  createHash("sha1").update(subjectPublicKeyInfo(key).subarray(-P256_POINT_BYTES)).digest()

const pem = (der: Uint8Array): string => {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n")
}

/** 0x04 and two coordinates of 32 bytes (SEC 1 2.3.3). */
const P256_POINT_BYTES = 65
/** Below the 20 that RFC 5280 4.1.2.2 allows, a leading zero included. */
const SERIAL_BYTES = 16

const VERSION_3 = Der.integer(Uint8Array.of(2))
const ECDSA_WITH_SHA256 = Der.sequence(Der.oid("1.2.840.10045.4.3.2"))
const COMMON_NAME = Der.oid("2.5.4.3")

const SUBJECT_KEY_IDENTIFIER = Der.oid("2.5.29.14")
const KEY_USAGE = Der.oid("2.5.29.15")
const SUBJECT_ALT_NAME = Der.oid("2.5.29.17")
const BASIC_CONSTRAINTS = Der.oid("2.5.29.19")
const AUTHORITY_KEY_IDENTIFIER = Der.oid("2.5.29.35")
const EXTENDED_KEY_USAGE = Der.oid("2.5.29.37")

/** Bit 0, and bit 5, of the key usages (RFC 5280 4.2.1.3). */
const DIGITAL_SIGNATURE = Der.bitString(Uint8Array.of(0x80), 7)
const KEY_CERT_SIGN = Der.bitString(Uint8Array.of(0x04), 2)
const SERVER_AUTH = Der.oid("1.3.6.1.5.5.7.3.1")
/** `pathLenConstraint`. */
const NO_INTERMEDIATES = Der.integer(Uint8Array.of(0))
/** Its tag in a GeneralName (RFC 5280 4.2.1.6). */
const DNS_NAME = 2
