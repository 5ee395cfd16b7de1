/** One end of a TCP connection. */
import type { IpAddress } from "./IpAddress.ts"

export interface SocketAddress {
  readonly ip: IpAddress
  readonly port: number
}

/** `ip:port`, an IPv6 address in brackets. */
export const formatSocketAddress = ({ ip, port }: SocketAddress): string =>
  ip.family === 4 ? `${ip.text}:${port}` : `[${ip.text}]:${port}`
