/**
 * Reads the PROXY protocol header, v1 or v2, that a load balancer sends ahead of the client's first byte.
 *
 * Stateless: every call looks at all bytes that have come. Until a header is whole a call costs at most the longest v1
 * line or the fixed part of a v2 header, so a header that trickles in costs no more than a constant for each byte.
 * Nothing is guessed: bytes that cannot become a header are `Invalid` as soon as that is certain. Whether the sender
 * may speak for others is for the caller to decide, before it calls.
 */
import { NEED_MORE, invalid, type ProxyRead } from "./ProxyRead.ts"
import { readProxyHeaderV1 } from "./ProxyHeaderV1.ts"
import { readProxyHeaderV2 } from "./ProxyHeaderV2.ts"

/** `bytes`: all that has come so far, header and what follows it. */
export const readProxyHeader = (bytes: Uint8Array): ProxyRead => {
  if (bytes.length === 0) return NEED_MORE
  switch (bytes[0]!) {
    case V1_FIRST_BYTE:
      return readProxyHeaderV1(bytes)
    case V2_FIRST_BYTE:
      return readProxyHeaderV2(bytes)
    default:
      return NO_HEADER
  }
}

const NO_HEADER = invalid("starts with no PROXY protocol header")
/** "P", of "PROXY". */
const V1_FIRST_BYTE = 0x50
/** Carriage return, of the v2 signature. */
const V2_FIRST_BYTE = 0x0d
