/**
 * A client of L7 in the test's hand: what it sends behind the handshake goes out as it is, and what comes is kept.
 *
 * The test's scope owns the socket.
 */
import { Data, Effect, type Scope } from "effect"
import { connect as connectSocket, type Socket } from "node:net"
import { Duplex } from "node:stream"
import { connect as startTls, type ConnectionOptions, type TLSSocket } from "node:tls"
import { framesOf, type Frame } from "../../l7/Http2Frames.ts"
import { SERVER } from "../../l7/Requests.ts"
import { trusted } from "../harness/Certificates.ts"
import { within } from "../harness/Watch.ts"
import { formatAddress, splitAddress, Wire } from "../harness/Wire.ts"

export class TlsClient extends Wire {
  readonly tls: TLSSocket
  /** For sessions to be resumed, as they come. */
  readonly tickets: ReadonlyArray<Buffer>
  readonly #tcp: Socket

  constructor(tls: TLSSocket, tcp: Socket, tickets: ReadonlyArray<Buffer>) {
    super(tls, formatAddress(tcp.localAddress!, tcp.localPort!))
    this.tls = tls
    this.tickets = tickets
    this.#tcp = tcp
  }

  /** Bytes on the wire, TLS included, as this side's kernel has taken and given them. */
  get carried(): { readonly sent: number; readonly received: number } {
    return { sent: this.#tcp.bytesWritten, received: this.#tcp.bytesRead }
  }

  /** RST, without a word of TLS. */
  override reset(): void {
    this.#tcp.resetAndDestroy()
  }

  /** All that has come, as text. */
  get text(): string {
    return this.bytes.toString("latin1")
  }

  /** Waits until the text that has come matches. */
  matches(pattern: RegExp): Effect.Effect<string> {
    return this.until(String(pattern), (bytes) => pattern.exec(bytes.toString("latin1"))?.[0])
  }

  /** Waits for a frame of HTTP/2. */
  frame(what: string, isIt: (frame: Frame) => boolean): Effect.Effect<Frame> {
    return this.until(what, (bytes) => framesOf(bytes).find(isIt))
  }
}

/** The handshake has failed; `code` is the alert's, as Node spells it, or the system's. */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<{ readonly code: string }> {}

export interface TlsClientOptions extends ConnectionOptions {
  /** An address of this machine's; 127.0.0.0/8 are all its own. */
  readonly from?: string
}

/** Connects and shakes hands, by default for HTTP/2 and `SERVER`. */
export const connectTls = (
  address: string,
  { from, ...options }: TlsClientOptions = {}
): Effect.Effect<TlsClient, HandshakeFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<TlsClient, HandshakeFailed>((resume) => {
      const { host, port } = splitAddress(address)
      const tcp = connectSocket({ host, port, localAddress: from }, () => {
        const tls = startTls({ socket: tcp, servername: SERVER, ca: trusted, ALPNProtocols: ["h2"], ...options })
        // With TLS 1.2 it comes within the handshake.
        const tickets: Array<Buffer> = []
        tls.on("session", (ticket: Buffer) => tickets.push(ticket))
        const failed = (error: NodeJS.ErrnoException) =>
          resume(Effect.fail(new HandshakeFailed({ code: error.code ?? error.message })))
        tls.once("error", failed)
        tls.once("secureConnect", () => {
          tls.off("error", failed)
          resume(Effect.succeed(new TlsClient(tls, tcp, tickets)))
        })
      })
      tcp.once("error", (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new HandshakeFailed({ code: error.code ?? error.message })))
      )
      return Effect.sync(() => tcp.destroy())
    }).pipe(within(`a handshake with ${address}`)),
    (client) =>
      Effect.sync(() => {
        client.socket.destroy()
        client.reset()
      }),
    { interruptible: true }
  )

/** The same, for HTTP/1.1. */
export const connectHttp1 = (address: string, options: TlsClientOptions = {}) =>
  connectTls(address, { ALPNProtocols: ["http/1.1"], ...options })

/** The first bytes of a client of OpenSSL. */
export const helloFor = (name: string, ALPNProtocols: ReadonlyArray<string> = []): Effect.Effect<Buffer> =>
  Effect.callback<Buffer>((resume) => {
    const transport = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => {
        resume(Effect.succeed(bytes))
        done()
      }
    })
    const tls = startTls({ socket: transport, servername: name, ALPNProtocols: [...ALPNProtocols] })
    tls.on("error", () => {})
    return Effect.sync(() => tls.destroy())
  }).pipe(within("a ClientHello"))
