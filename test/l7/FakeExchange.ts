/** A client's request without a protocol, and a backend without a network: what each is told is kept for the test. */
import { Effect } from "effect"
import { PassThrough } from "node:stream"
import type { BackendFailed, BackendPool, BackendResponse } from "../../src/l7/backend/Backends.ts"
import type { Exchange, Follows } from "../../src/l7/Exchange.ts"
import type { Fields, OutgoingBody, RequestHead, ResponseHead } from "../../src/l7/Message.ts"

/** Takes a body: what has come so far, and its trailers once it has ended. */
export class Sink implements OutgoingBody {
  readonly writable = new PassThrough()
  text = ""
  trailers: Fields | undefined

  constructor() {
    this.writable.setEncoding("utf8").on("data", (chunk: string) => {
      this.text += chunk
    })
  }

  readonly end = (trailers: Fields): void => {
    this.trailers = trailers
    this.writable.end()
  }
}

/** A body that is there already, with its trailers. */
export const bodyOf = (text: string, trailers: Fields = []) => {
  const readable = new PassThrough()
  readable.end(text)
  return { readable, trailers: () => trailers }
}

export class FakeExchange implements Exchange {
  readonly request: Exchange["request"]
  readonly method: string
  readonly target: string
  readonly body: Exchange["body"]
  readonly acceptedStatus = 101
  readonly interims: Array<ResponseHead> = []
  readonly sink = new Sink()
  head: ResponseHead | undefined
  follows: Follows | undefined
  aborted = false

  constructor(request: Exchange["request"], body?: Exchange["body"]) {
    this.request = request
    this.method = request._tag === "Request" ? request.head.method : "GET"
    this.target = request._tag === "Request" ? request.head.path : "/"
    this.body = body
  }

  interim(head: ResponseHead): void {
    this.interims.push(head)
  }

  respond(head: ResponseHead, follows: Follows): OutgoingBody | undefined {
    if (this.head !== undefined) throw new Error("A request is answered once.")
    this.head = { status: head.status, fields: head.fields }
    this.follows = follows
    return follows === "nothing" ? undefined : this.sink
  }

  abort(): void {
    this.aborted = true
  }
}

export type Answer = Effect.Effect<BackendResponse, BackendFailed>

/** Answers the first request by the first of `answers`, and so on; notes what was sent, and what was let go. */
export class FakePool implements BackendPool {
  readonly takesWebSockets = true
  readonly sent: Array<RequestHead> = []
  readonly bodies: Array<Sink> = []
  /** Requests that are over, or were given up. */
  released = 0
  /** The status of what comes before each answer. */
  interim = 103
  readonly #answers: Array<Answer>

  constructor(...answers: ReadonlyArray<Answer>) {
    this.#answers = [...answers]
  }

  onWebSockets(): void {}

  readonly send: BackendPool["send"] = (request) =>
    Effect.suspend(() => {
      const { head } = request
      this.sent.push(head)
      request.onCancel(() => this.released++)
      request.interim({ status: this.interim, fields: [] })
      const body = head.hasBody ? new Sink() : undefined
      if (body !== undefined) this.bodies.push(body)
      request.sent(body)
      return this.#answers.shift() ?? Effect.die("More was sent than there are answers.")
    })
}
