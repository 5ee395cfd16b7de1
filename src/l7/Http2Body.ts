/** A body that is sent on a stream of HTTP/2, whichever side we are. */
import { Result } from "effect"
import { constants, type Http2Stream } from "node:http2"
import { resetStream } from "./EndOfStream.ts"
import type { Fields, OutgoingBody } from "./Message.ts"

/** The stream's head was sent with `waitForTrailers`, so that its last frame waits for them. */
export const outgoingBody = (stream: Http2Stream): OutgoingBody => {
  let trailers: Fields = []
  // A turn later than Node would: while it reads or writes frames it aborts the process where it comes to the trailers of
  // a stream that was destroyed meanwhile.
  const destroyNow = stream._destroy.bind(stream)
  let isAsked = false
  stream._destroy = (error, callback) => {
    if (isAsked) destroyNow(error, callback)
    else setImmediate(() => destroyNow(error, callback))
  }
  stream.on("wantTrailers", () => {
    isAsked = true
    const sent = Result.try(() => stream.sendTrailers(grouped(trailers)))
    if (Result.isFailure(sent)) resetStream(stream, constants.NGHTTP2_INTERNAL_ERROR)
  })
  return {
    writable: stream,
    end: (fields) => {
      trailers = fields
      stream.end()
    }
  }
}

/** Fields by name, as Node takes trailers and interim heads. */
export const grouped = (fields: Fields): Record<string, Array<string>> => {
  // No plain object, since what that inherits are names of fields as good as any.
  const groups = new Map<string, Array<string>>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const known = groups.get(fields[i]!)
    if (known === undefined) groups.set(fields[i]!, [fields[i + 1]!])
    else known.push(fields[i + 1]!)
  }
  return Object.fromEntries(groups)
}
