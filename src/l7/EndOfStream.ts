/**
 * When a stream of HTTP/2 has ended, when it was only closed, and how it is reset.
 *
 * Node ends a readable also where its stream was reset or its session has gone, and gives no way to tell what is whole
 * from what was cut off; RST_STREAM with NO_ERROR, which Node itself sends for what is destroyed, looks the same to the
 * last detail. Passed on, half a body would be taken for a whole one.
 */
import type { Http2Stream } from "node:http2"

/**
 * Lets the readable of `stream` end only where END_STREAM has come; what was cut off is destroyed. To be called before
 * anything can have come. Gives whether END_STREAM has come, however much of the body has been read.
 */
export const endWhenWhole = (stream: Http2Stream): (() => boolean) => {
  let isWhole = false
  const push = stream.push.bind(stream)
  // By a name: see `net/node/LetGo.ts`.
  const pushWhole: typeof stream.push = (chunk, encoding) => {
    // Node says so once when END_STREAM comes, and again when it closes the stream for whatever reason.
    if (chunk === null && !isWhole) {
      isWhole = !stream.closed && !stream.destroyed
      if (!isWhole) {
        // Node is in the midst of closing it.
        process.nextTick(() => stream.destroy())
        return false
      }
    }
    return push(chunk, encoding)
  }
  stream.push = pushWhole
  return () => isWhole
}

/**
 * Resets a stream in the next turn. Node aborts the process where that is done within what it calls for a frame: it asks
 * for the trailers of a stream that it has closed by then. And it ends a stream before it resets it, which would say of
 * half a body that it is whole.
 */
export const resetStream = (stream: Http2Stream, code: number): void => {
  setImmediate(() => {
    stream._final = (callback) => callback()
    stream.close(code)
  })
}
