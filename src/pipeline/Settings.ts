/** The operator's limits that the pipeline keeps. Milliseconds and bytes; contract of each: the config's `[proxy]`. */
import { Context } from "effect"

export class Settings extends Context.Service<
  Settings,
  {
    /** For the PROXY header and the ClientHello together. */
    readonly helloTimeoutMs: number
    /** Every byte of the ClientHello's peek, record headers included. */
    readonly helloBytesMax: number
    /** To reach a backend, its name look-up included. */
    readonly connectTimeoutMs: number
    /** L7: for the TLS handshake. */
    readonly handshakeTimeoutMs: number
    /** L7: from a request's first byte, or the handshake's end, to the end of its header. */
    readonly headerTimeoutMs: number
    /** L7: from a request's end to the head of its response; 0: off. */
    readonly responseTimeoutMs: number
    readonly idleTimeoutMs: number
    readonly halfCloseTimeoutMs: number
  }
>()("mc-proxy/pipeline/Settings") {}
