/**
 * What the proxy speaks as TLS: version 1.2 and 1.3, and of 1.2 only the ciphers that encrypt and authenticate at once
 * with a fresh key a connection ("intermediate" of Mozilla's Server Side TLS, without its CBC and DHE ones).
 *
 * Pure of sockets and files; who has a PEM makes a context of it once and uses that for every connection.
 */
import type { Buffer } from "node:buffer"
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls"

export type { SecureContext }

/**
 * For clients. Throws what OpenSSL says of a certificate and a key that it does not take. `ticketKeys`: 48 bytes that
 * sessions are sealed with, for contexts that go on with the sessions of others; left out, it has its own.
 */
export const serverContext = (certificate: string, key: string, ticketKeys?: Buffer): SecureContext =>
  createSecureContext({ ...VERSIONS, cert: certificate, key, ...(ticketKeys === undefined ? {} : { ticketKeys }) })

/** For backends whose chain ends at a certificate of `roots`, or at one of `defaultRoots`. */
export const clientContext = (roots: string | ReadonlyArray<string>): SecureContext =>
  createSecureContext({ ...VERSIONS, ca: typeof roots === "string" ? roots : [...roots] })

/** Those of the system, those that Node brings, and those that NODE_EXTRA_CA_CERTS names. */
export const defaultRoots = (): ReadonlyArray<string> => [
  ...new Set([...getCACertificates("system"), ...getCACertificates("default")])
]

const VERSIONS = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305"
  ].join(":")
} as const
