/** The two kinds of `host:port` an operator writes: where a listener binds, and where a backend is. */
import { Result } from "effect"
import { parseIpAddress, type IpAddress } from "../net/IpAddress.ts"
import { parseHostname, type Hostname } from "./Hostname.ts"

/** Where a listener binds. No `ip`: every address, IPv4 and IPv6. Port 0: the system picks one. */
export interface ListenAddress {
  readonly ip: IpAddress | undefined
  readonly port: number
}

/** Where a backend is: a literal address, or a name to look up. */
export interface BackendAddress {
  readonly host: IpAddress | Hostname
  readonly port: number
}

/** `":443"`, `"ip:port"` or `"[ip6]:port"`; fails with the end of a sentence that says what is wrong. */
export const parseListenAddress = (input: string): Result.Result<ListenAddress, string> => {
  const parts = splitPort(input)
  if (parts === undefined) return Result.fail('is not ":port", "ip:port" or "[ip6]:port"')
  if (parts.port > 65535) return Result.fail("has a port over 65535")
  if (parts.host === "") return Result.succeed({ ip: undefined, port: parts.port })
  const ip = parseIpAddress(parts.host)
  return ip === undefined
    ? Result.fail('names a host; a listener binds to ":port", "ip:port" or "[ip6]:port"')
    : Result.succeed({ ip, port: parts.port })
}

/** `"host:port"`, `"ip:port"` or `"[ip6]:port"`; fails with the end of a sentence that says what is wrong. */
export const parseBackendAddress = (input: string): Result.Result<BackendAddress, string> => {
  const parts = splitPort(input)
  if (parts === undefined) return Result.fail('is not "host:port", "ip:port" or "[ip6]:port"')
  const { host, port } = parts
  if (port < 1 || port > 65535) return Result.fail("has a port outside 1 to 65535")
  const ip = parseIpAddress(host)
  if (ip !== undefined) return Result.succeed({ host: ip, port })
  return Result.mapBoth(parseHostname(host), {
    onFailure: (problem) => `has a host that ${problem}`,
    onSuccess: (name) => ({ host: name, port })
  })
}

/** The canonical text of a listener's address. */
export const formatListenAddress = ({ ip, port }: ListenAddress): string =>
  ip === undefined ? `:${port}` : ip.family === 4 ? `${ip.text}:${port}` : `[${ip.text}]:${port}`

/** The canonical text of a backend. */
export const formatBackendAddress = ({ host, port }: BackendAddress): string =>
  typeof host === "string" ? `${host}:${port}` : formatListenAddress({ ip: host, port })

/** Splits at the last colon; an IPv6 host must be in brackets, and only an IPv6 host may be. */
const splitPort = (input: string): { readonly host: string; readonly port: number } | undefined => {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(input)
  if (match === null) return undefined
  const [, bracketed, plain, port] = match
  if (bracketed !== undefined && !bracketed.includes(":")) return undefined
  return { host: bracketed ?? plain ?? "", port: Number(port) }
}
