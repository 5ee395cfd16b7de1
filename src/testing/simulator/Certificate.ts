/** The certificate that the site's routes name. It is made once a process: nothing of it is in a trace. */
import { CertificateAuthority } from "../../devserver/CertificateAuthority.ts"
import { hostname } from "./Parsed.ts"
import { CERTIFICATE_FILE, KEY_FILE } from "./WebSite.ts"

let made: Promise<ReadonlyMap<string, string>> | undefined

/** By path. */
export const certificateFiles = (): Promise<ReadonlyMap<string, string>> => (made ??= make())

const make = async (): Promise<ReadonlyMap<string, string>> => {
  // The simulated clock begins in 1970.
  const validity = { from: new Date(0), to: new Date("2999-12-31T23:59:59Z") }
  const authority = await CertificateAuthority.make("simulated", validity)
  const { certificate, key } = await authority.issue(hostname("web.test"))
  return new Map([
    [CERTIFICATE_FILE, certificate],
    [KEY_FILE, key]
  ])
}
