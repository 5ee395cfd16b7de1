/**
 * A gRPC client that costs little, for as many calls as the proxy can take: one HTTP/2 connection to the admin socket,
 * and one unary call at a time, of a request that is written already. Of the answer it reads no more than whether it is
 * a message with the status OK.
 *
 * Node's own client costs as much CPU a call as the proxy, and a stock gRPC client more, of the same cores; the bench
 * would measure the two together.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { Effect, type Scope } from "effect"
import { connect, type Socket } from "node:net"
import {
  fieldBlock,
  FLAG,
  frame as http2Frame,
  framesOf,
  type Frame,
  PREFACE,
  TYPE,
  uint32
} from "../test/l7/Http2Frames.ts"
import { BenchError } from "./BenchError.ts"

type Done = (result: Effect.Effect<void, BenchError>) => void

interface Call {
  readonly stream: number
  readonly path: string
  readonly done: Done
  /** What the window has not let out yet. */
  unsent: Buffer
  window: number
  /** Bytes of the answer's message, with its prefix. */
  received: number
}

export class GrpcCaller {
  readonly #socket: Socket
  #rest: Buffer = Buffer.alloc(0)
  #lastStream = -1
  #window = WINDOW_BYTES
  /** Of a new stream. */
  #streamWindow = WINDOW_BYTES
  #call: Call | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.write(Buffer.concat([PREFACE, SETTINGS, AMPLE_WINDOW]))
    socket.on("data", (chunk: Buffer) => this.#onData(chunk))
    socket.on("error", (error) => this.#settle(error.message))
    socket.on("close", () => this.#settle("the connection was closed"))
  }

  static connect(socket: string): Effect.Effect<GrpcCaller, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => connect(socket)),
        (connection) => Effect.sync(() => connection.destroy())
      ),
      (connection) => new GrpcCaller(connection)
    )
  }

  /** Fails unless the answer is a message with the status OK. `framed` is of `frame`. */
  call(path: string, framed: Buffer): Effect.Effect<void, BenchError> {
    return Effect.callback<void, BenchError>((done) => {
      this.#lastStream += 2
      this.#call = {
        stream: this.#lastStream,
        path,
        done,
        unsent: framed,
        window: this.#streamWindow,
        received: 0
      }
      this.#socket.cork()
      this.#socket.write(http2Frame(TYPE.headers, FLAG.endHeaders, this.#lastStream, fieldsOf(path)))
      this.#send(this.#call)
      this.#socket.uncork()
    })
  }

  /** As much of a request as the windows let out (RFC 9113 6.9). */
  #send(call: Call): void {
    while (call.unsent.length > 0) {
      const length = Math.min(call.unsent.length, FRAME_BYTES_MAX, call.window, this.#window)
      if (length <= 0) return
      const flags = length === call.unsent.length ? FLAG.endStream : FLAG.none
      this.#socket.write(http2Frame(TYPE.data, flags, call.stream, call.unsent.subarray(0, length)))
      call.unsent = call.unsent.subarray(length)
      call.window -= length
      this.#window -= length
    }
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let read = 0
    for (const each of framesOf(bytes)) {
      read += each.payload.length + FRAME_HEADER_BYTES
      this.#onFrame(each)
    }
    this.#rest = bytes.subarray(read)
  }

  #onFrame({ flags, payload, stream, type }: Frame): void {
    switch (type) {
      case TYPE.settings:
        if ((flags & FLAG.ack) === 0) this.#onSettings(payload)
        return
      case TYPE.windowUpdate:
        return this.#onWindow(stream, payload.readUInt32BE(0))
      case TYPE.data:
        if (this.#call !== undefined) this.#call.received += payload.length
        return
      case TYPE.headers:
        if ((flags & FLAG.endStream) !== 0) this.#onEnd(payload)
        return
      case TYPE.reset:
      case TYPE.goAway:
        this.#settle(`a frame of type ${type}, with ${payload.toString("hex")}`)
    }
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += SETTING_BYTES) {
      if (payload.readUInt16BE(at) === INITIAL_WINDOW_SIZE) this.#streamWindow = payload.readUInt32BE(at + 2)
    }
    this.#socket.write(http2Frame(TYPE.settings, FLAG.ack, 0))
  }

  #onWindow(stream: number, bytes: number): void {
    if (stream === 0) this.#window += bytes
    else if (this.#call?.stream === stream) this.#call.window += bytes
    if (this.#call !== undefined) this.#send(this.#call)
  }

  /** A refusal has its status in the one block of fields that it has, behind no message. */
  #onEnd(trailers: Buffer): void {
    const received = this.#call?.received ?? 0
    const isOk = received >= PREFIX_BYTES && trailers.subarray(-STATUS_OK.length).equals(STATUS_OK)
    this.#settle(isOk ? undefined : `refused: ${received} bytes, and the fields ${trailers.toString("hex")}`)
  }

  #settle(problem: string | undefined): void {
    const call = this.#call
    this.#call = undefined
    if (call === undefined) return
    call.done(
      problem === undefined ? Effect.void : Effect.fail(new BenchError({ message: `${call.path}: ${problem}` }))
    )
  }
}

/** Of each request's fields, by path. */
const blocks = new Map<string, Buffer>()

const fieldsOf = (path: string): Buffer => {
  let block = blocks.get(path)
  if (block === undefined) {
    block = fieldBlock([
      ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "localhost"],
      ...["content-type", "application/grpc", "te", "trailers"]
    ])
    blocks.set(path, block)
  }
  return block
}

const FRAME_HEADER_BYTES = 9
/** Of a frame's payload, unless a peer asks for more (RFC 9113 4.2). */
const FRAME_BYTES_MAX = 16_384
/** Until a peer says otherwise (RFC 9113 6.9.2). */
const WINDOW_BYTES = 65_535
/** RFC 9113 6.5.1, 6.5.2. */
const SETTING_BYTES = 6
const INITIAL_WINDOW_SIZE = 4

/**
 * SETTINGS_HEADER_TABLE_SIZE 0: the peer writes the fields out, so that the status can be read without a table.
 * SETTINGS_INITIAL_WINDOW_SIZE 2^30: no answer waits to be let out.
 */
const SETTINGS = http2Frame(TYPE.settings, FLAG.none, 0, Buffer.from("000100000000000440000000", "hex"))

/** Nor do all together. */
const AMPLE_WINDOW = http2Frame(TYPE.windowUpdate, FLAG.none, 0, uint32(2 ** 30))

/** The end of `grpc-status: 0`: a value of one byte that is not compressed, `0` (RFC 7541 5.2). */
const STATUS_OK = Buffer.from([1, 0x30])

/** Of flags, of which there are none, and the length. */
const PREFIX_BYTES = 5

/** A request behind its prefix. */
export const frame = (message: Uint8Array): Buffer => {
  const framed = Buffer.alloc(PREFIX_BYTES + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  return framed
}
