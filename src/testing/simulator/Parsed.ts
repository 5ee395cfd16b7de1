/** Addresses and names out of the text of a plan, which is known to be right. */
import { Result } from "effect"
import { parseIpAddress, type IpAddress } from "../../net/IpAddress.ts"
import { parseHostname, type Hostname } from "../../snapshot/Hostname.ts"

export const ip = (text: string): IpAddress => {
  const parsed = parseIpAddress(text)
  if (parsed === undefined) throw new Error(`${text} is no address.`)
  return parsed
}

export const hostname = (text: string): Hostname => Result.getOrThrow(parseHostname(text))
