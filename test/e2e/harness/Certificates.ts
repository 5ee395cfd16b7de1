/** Throw-away certificates, made once per test file. Keys never leave the process. */
import { CertificateAuthority, type Identity } from "../../../src/devserver/CertificateAuthority.ts"
import type { Hostname } from "../../../src/snapshot/Hostname.ts"

const DAY_MS = 24 * 60 * 60 * 1000

const authority = await CertificateAuthority.make("mc-proxy tests", {
  from: new Date(Date.now() - DAY_MS),
  to: new Date(Date.now() + DAY_MS)
})

/** What clients trust: a certificate in PEM. */
export const trusted = authority.certificate

/** A server's certificate and key, in PEM, for one lower-case name. */
export const identityOf = async (name: string): Promise<Identity> => {
  const known = identities.get(name) ?? (await authority.issue(name as Hostname))
  identities.set(name, known)
  return known
}

const identities = new Map<string, Identity>()
