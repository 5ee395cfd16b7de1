/**
 * One end of a TCP connection, a client's or a backend's, that notes exactly what it is sent.
 *
 * A FIN and a RST are told apart, and each is answered only when the test says so. The test's scope owns the socket.
 */
import { Data, Effect, type Scope } from "effect"
import { connect as connectSocket, type Socket } from "node:net"
import { Watch, within } from "./Watch.ts"

/** How the other side has ended: by FIN or RST, whichever came first, or by the code of another error. */
export type Ending = "fin" | "reset" | (string & {})

export class Wire {
  readonly socket: Socket
  /** This end, `ip:port`. */
  readonly local: string
  /** Set at the first end. */
  ending: Ending | undefined
  readonly #watch = new Watch()
  readonly #chunks: Array<Buffer> = []
  #length = 0

  constructor(socket: Socket, local: string) {
    this.socket = socket
    this.local = local
    socket.setNoDelay(true)
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#length += chunk.length
      this.#watch.notify()
    })
    socket.on("end", () => this.#ended("fin"))
    socket.on("error", (error) => this.#ended(RESET_CODES.has(codeOf(error)) ? "reset" : codeOf(error)))
  }

  /** All bytes that have come. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get length(): number {
    return this.#length
  }

  /** Completes when the kernel has taken the bytes, or the connection is gone. */
  send(bytes: Uint8Array | string): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.socket.write(bytes, () => resume(Effect.void))
    })
  }

  /** Each byte in a segment of its own. */
  sendBytewise(bytes: Uint8Array): Effect.Effect<void> {
    return Effect.forEach(bytes, (byte) => this.send(Uint8Array.of(byte)), { discard: true })
  }

  /** Sends FIN behind what was sent, and goes on receiving. */
  finish(): void {
    this.socket.end()
  }

  /** Sends RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  /** Waits until at least so many bytes have come, and gives all that have. */
  received(count: number): Effect.Effect<Buffer> {
    return this.#watch.until(`${count} bytes`, () => (this.#length >= count ? this.bytes : undefined))
  }

  /** Waits until `probe` finds something in what has come, or in how it ended. */
  until<A>(what: string, probe: (bytes: Buffer, ending: Ending | undefined) => A | undefined): Effect.Effect<A> {
    return this.#watch.until(what, () => probe(this.bytes, this.ending))
  }

  /** Waits for the other side's end. */
  get ended(): Effect.Effect<Ending> {
    return this.#watch.until("FIN or RST", () => this.ending)
  }

  /**
   * Whether a RST has come behind the other side's FIN, which only a write shows: it is refused then. To be asked when
   * the proxy is done with the connection, for until then the byte would reach it.
   */
  readonly resetBehindFin: Effect.Effect<boolean> = Effect.callback((resume) => {
    this.socket.write("?", (error) => resume(Effect.succeed(error ? RESET_CODES.has(codeOf(error)) : false)))
  })

  #ended(ending: Ending): void {
    this.ending ??= ending
    this.#watch.notify()
  }
}

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message

/** EPIPE: the RST came behind a FIN. */
const RESET_CODES: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE"])

/** Nobody accepts there; `code` is the system's. */
export class ConnectError extends Data.TaggedError("ConnectError")<{ readonly code: string }> {}

/** Connects to `ip:port`, from an address of this machine's (127.0.0.0/8 are all its own) where one is chosen. */
export const connect = (
  address: string,
  { from }: { readonly from?: string } = {}
): Effect.Effect<Wire, ConnectError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Wire, ConnectError>((resume) => {
      const { host, port } = splitAddress(address)
      const localAddress = from ?? (host.includes(":") ? "::1" : "127.0.0.1")
      const socket = connectSocket({ host, port, localAddress, allowHalfOpen: true })
      let wire: Wire | undefined
      // Bound, and not connected yet: a RST may follow so fast that the connection is never seen open.
      socket.once("connectionAttempt", () => (wire = new Wire(socket, formatAddress(localAddress, socket.localPort!))))
      socket.once("connect", () => resume(Effect.succeed(wire!)))
      socket.once("error", (error) =>
        resume(
          wire !== undefined && RESET_CODES.has(codeOf(error))
            ? Effect.succeed(wire)
            : Effect.fail(new ConnectError({ code: codeOf(error) }))
        )
      )
      return Effect.sync(() => socket.destroy())
    }).pipe(within(`a connection to ${address}`)),
    ({ socket }) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  )

/** The two parts of `ip:port` or `[ip6]:port`. */
export const splitAddress = (address: string): { readonly host: string; readonly port: number } => {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) }
}

export const formatAddress = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
