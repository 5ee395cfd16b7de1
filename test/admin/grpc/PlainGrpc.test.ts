import { toBinary, create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { Deferred, Effect } from "effect"
import * as http2 from "node:http2"
import { connect } from "node:net"
import { NotFound } from "../../../src/admin/AdminError.ts"
import { SnapshotRequestSchema } from "../../../src/admin/grpc/gen/mc_proxy/v1/admin_pb.ts"
import { adminMethod, callUnary, connectClient } from "./StockClient.ts"
import { startStub } from "./Stub.ts"

const SNAPSHOT = "/mc_proxy.v1.ProxyAdminService/Snapshot"

const session = (socket: string) =>
  Effect.acquireRelease(
    Effect.sync(() => http2.connect("http://localhost", { createConnection: () => connect(socket) })),
    (session) => Effect.sync(() => session.destroy())
  )

/** A message as gRPC frames it. */
const framed = (message: Uint8Array, flags = 0) => {
  const prefix = Buffer.alloc(5)
  prefix[0] = flags
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

const ASK = toBinary(SnapshotRequestSchema, create(SnapshotRequestSchema, { path: "/x" }))

/** Posts the pieces one by one and, unless told otherwise, ends; gives the headers and trailers of the answer. */
const post = (
  session: http2.ClientHttp2Session,
  pieces: ReadonlyArray<Buffer>,
  headers: http2.OutgoingHttpHeaders = {},
  end: (call: http2.ClientHttp2Stream) => void = (call) => call.end()
) =>
  Effect.callback<http2.IncomingHttpHeaders>((resume) => {
    const call = session.request({
      ":method": "POST",
      ":path": SNAPSHOT,
      "content-type": "application/grpc",
      ...headers
    })
    let answer: http2.IncomingHttpHeaders = {}
    call.on("response", (response) => (answer = { ...answer, ...response }))
    call.on("trailers", (trailers) => (answer = { ...answer, ...trailers }))
    call.on("error", () => undefined)
    call.on("end", () => {
      call.close()
      resume(Effect.succeed(answer))
    })
    call.resume()
    for (const piece of pieces) call.write(piece)
    end(call)
    return Effect.sync(() => call.close())
  })

const doNotEnd = () => undefined

const started = Effect.gen(function* () {
  const stub = yield* startStub({ snapshot: () => Effect.succeed({ bytes: 3 }) })
  return { ...stub, session: yield* session(stub.socket) }
})

describe("a plain unary gRPC call", () => {
  it.live("may come in any pieces, and under both names of its content type", () =>
    Effect.gen(function* () {
      const { asked, session } = yield* started
      const bytes = framed(ASK)
      const singly = Array.from(bytes, (byte) => Buffer.of(byte))
      assert.strictEqual((yield* post(session, singly))["grpc-status"], String(status.OK))
      const proto = yield* post(session, [bytes], { "content-type": "application/grpc+proto" })
      assert.strictEqual(proto["grpc-status"], String(status.OK))
      assert.deepStrictEqual(
        asked.map(({ request }) => request),
        [{ path: "/x" }, { path: "/x" }]
      )
    })
  )

  it.live("is refused unless it is one message without compression", () =>
    Effect.gen(function* () {
      const { asked, session } = yield* started
      const whole = framed(ASK)
      const bodies = [
        [],
        [Buffer.of(0, 0, 0)],
        [whole.subarray(0, -1)],
        [whole, Buffer.of(0)],
        [whole, whole],
        [framed(ASK, 1)],
        // No protobuf: a field of length 127 in a message of two bytes.
        [framed(Buffer.of(0x0a, 0x7f))]
      ]
      for (const body of bodies) {
        assert.strictEqual((yield* post(session, body))["grpc-status"], String(status.INTERNAL))
      }
      // At once: there may be no end.
      const endless = yield* post(session, [whole, whole], {}, doNotEnd)
      assert.strictEqual(endless["grpc-status"], String(status.INTERNAL))
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("is refused by its length alone when that is more than 64 MiB", () =>
    Effect.gen(function* () {
      const { asked, session } = yield* started
      const prefix = Buffer.of(0, 4, 0, 0, 1)
      for (const contentType of ["application/grpc", "application/grpc+json"]) {
        const answer = yield* post(session, [prefix], { "content-type": contentType }, doNotEnd)
        assert.strictEqual(answer["grpc-status"], String(status.RESOURCE_EXHAUSTED), contentType)
      }
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("has the deadline that it names", () =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<void>()
      const { socket } = yield* startStub({ snapshot: () => Effect.as(Deferred.await(answer), { bytes: 3 }) })
      const opened = yield* session(socket)
      for (const timeout of ["0m", "20m", "20000u", "1n"]) {
        const late = yield* post(opened, [framed(ASK)], { "grpc-timeout": timeout })
        assert.strictEqual(late["grpc-status"], String(status.DEADLINE_EXCEEDED), timeout)
      }
      const wrong = yield* post(opened, [framed(ASK)], { "grpc-timeout": "soon" })
      assert.strictEqual(wrong["grpc-status"], String(status.INVALID_ARGUMENT))
      yield* Deferred.succeed(answer, undefined)
      for (const timeout of ["1M", "99999999H"]) {
        const inTime = yield* post(opened, [framed(ASK)], { "grpc-timeout": timeout })
        assert.strictEqual(inTime["grpc-status"], String(status.OK), timeout)
      }
    })
  )
})

describe("a gRPC call in another form", () => {
  it.live("is answered, when compressed, with the same words", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* startStub({
        snapshot: () => Effect.succeed({ bytes: 3 }),
        removeRoute: () => Effect.fail(new NotFound({ message: "a: b, c" }))
      })
      const GZIP = 2
      const client = yield* connectClient(socket, { "grpc.default_compression_algorithm": GZIP })
      assert.deepStrictEqual(yield* callUnary(client, adminMethod("Snapshot"), { path: "/x" }), { bytes: "3" })
      assert.deepStrictEqual(asked[0]?.request, { path: "/x" })
      const refused = yield* Effect.flip(callUnary(client, adminMethod("RemoveRoute"), {}))
      assert.deepStrictEqual([refused.code, refused.details], [status.NOT_FOUND, "a: b, c"])
    })
  )
})
