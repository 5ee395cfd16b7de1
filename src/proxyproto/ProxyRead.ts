/** What reading a PROXY protocol header amounts to, in either version. */
import type { SocketAddress } from "../net/SocketAddress.ts"

export type ProxyRead =
  | { readonly _tag: "NeedMore" }
  /** The bytes cannot become a header. `reason` is fixed text for debug logs, the end of a sentence. */
  | { readonly _tag: "Invalid"; readonly reason: string }
  | ProxyHeader

export interface ProxyHeader {
  readonly _tag: "Header"
  /** How many bytes to consume. */
  readonly length: number
  /** `undefined`: the header names none that is a TCP one; the peer's own address counts. */
  readonly client: SocketAddress | undefined
  readonly destination: SocketAddress | undefined
  /** v2 LOCAL or v1 UNKNOWN: the sender speaks for itself, as a load balancer's probe does. */
  readonly local: boolean
}

export const NEED_MORE: ProxyRead = { _tag: "NeedMore" }

/** For constants: one object a reason, made once. */
export const invalid = (reason: string): ProxyRead => ({ _tag: "Invalid", reason })
