/** Streams of Node's in a case's hand: each wait ends with the stream, whichever way that goes. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Duplex } from "node:stream"
import { CertificateAuthority } from "../../../src/devserver/CertificateAuthority.ts"
import { parseHostname } from "../../../src/snapshot/Hostname.ts"
import { clientContext, serverContext, type SecureContext } from "../../../src/tls/SecureContexts.ts"

/** The name of the certificate in `contexts`. */
export const NAME = "a.test"

/** A server's identity, and a client that trusts who issued it. */
export const contexts: Effect.Effect<Contexts> = Effect.runSync(
  Effect.cached(
    Effect.promise(async (): Promise<Contexts> => {
      const validity = { from: new Date(Date.now() - 60_000), to: new Date(Date.now() + 86_400_000) }
      const authority = await CertificateAuthority.make("mc-proxy test", validity)
      const hostname = parseHostname(NAME)
      assert(hostname._tag === "Success")
      const { certificate, key } = await authority.issue(hostname.success)
      return { server: serverContext(certificate, key), client: clientContext(authority.certificate) }
    })
  )
)

export interface Contexts {
  readonly server: SecureContext
  readonly client: SecureContext
}

/** How a stream's reading ended: with the other side's FIN, or with the stream's destruction before. */
export interface Read {
  readonly bytes: Buffer
  readonly end: "end" | "close"
}

/** Exactly so many bytes; fewer where the end is nearer. What is behind them is left in the stream. */
export const read = (stream: Duplex, length: number): Effect.Effect<Buffer> =>
  Effect.map(readUpTo(stream, length), ({ bytes }) => bytes)

export const readAll = (stream: Duplex): Effect.Effect<Read> => readUpTo(stream, Infinity)

const readUpTo = (stream: Duplex, length: number): Effect.Effect<Read> =>
  Effect.callback<Read>((resume) => {
    const chunks: Array<Buffer> = []
    let missing = length
    const finish = (end: Read["end"]) => () => {
      stream.off("readable", take).off("end", ended).off("close", closed)
      resume(Effect.succeed({ bytes: Buffer.concat(chunks), end }))
    }
    const ended = finish("end")
    const closed = finish("close")
    const take = () => {
      while (missing > 0) {
        const chunk: unknown = stream.read(Math.min(missing, stream.readableLength) || undefined)
        if (!(chunk instanceof Buffer)) return
        chunks.push(chunk)
        missing -= chunk.length
      }
      ended()
    }
    if (stream.destroyed) return closed()
    if (stream.readableEnded) return ended()
    stream.on("readable", take).on("end", ended).on("close", closed)
    take()
  })

/** Completes when the stream has taken them, with whether it did. */
export const write = (stream: Duplex, bytes: Uint8Array): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    stream.write(bytes, (error) => resume(Effect.succeed(!error)))
  })

/** Waits for the stream's last event; an error on the way is part of it. */
export const closed = (stream: Duplex): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (stream.closed) return resume(Effect.void)
    stream.once("close", () => resume(Effect.void))
  })
