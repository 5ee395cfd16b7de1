/**
 * Plays the backends that speak HTTP. What they do about a request is in its plan, which they find by its path; what
 * they were sent they keep.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage } from "node:http"
import { constants, performServerHandshake } from "node:http2"
import type { Duplex, Readable } from "node:stream"
import type { Fields } from "../../l7/Message.ts"
import type { PeekError } from "../../net/Connection.ts"
import type { HandshakeError } from "../../net/Network.ts"
import type { SimPeer } from "../../net/sim/SimPeer.ts"
import { concat, pattern } from "../Bytes.ts"
import { answer, type Named, type Responder } from "./WebAnswer.ts"
import { makeAfter, untilClosed } from "./WebClient.ts"
import { placeOf } from "./WebPlan.ts"
import { BACKEND_FIELD, REQUEST_TRAILER, type ServedRecord } from "./WebRecords.ts"
import type { WebBackendPlan } from "./WebSite.ts"
import type { After } from "./WebStreams.ts"
import type { World } from "./World.ts"

/** Until the scope closes. */
export const runWebBackend = Effect.fnUntraced(function* (world: World, plan: WebBackendPlan) {
  const backend = yield* world.network.listenBackend(plan.address)
  yield* backend.serve((peer) => Effect.ignore(Effect.scoped(serve(world, plan, peer))))
})

interface Serving {
  readonly world: World
  readonly plan: WebBackendPlan
  /** The number of the connection. */
  readonly visit: number
  readonly duplex: Duplex
  readonly header: Uint8Array
  readonly after: After
}

const serve = Effect.fnUntraced(function* (
  world: World,
  plan: WebBackendPlan,
  peer: SimPeer
): Effect.fn.Return<void, PeekError | HandshakeError, Scope.Scope> {
  const after = yield* makeAfter
  const visit = world.webVisits.push({ backend: plan, peer })
  const trouble = world.webTroubles.get(plan.name)
  if (trouble === "web_stalling") return yield* peer.resetByAny
  if (trouble === "web_failing") return yield* Effect.asVoid(peer.write(NONSENSE))
  const header = yield* takeHeader(peer)
  const duplex = plan.tls ? (yield* peer.terminate({ alpn: [plan.protocol] })).duplex : peer.asDuplex()
  const speak = plan.protocol === "h2" ? speakHttp2 : speakHttp1
  speak({ world, plan, visit, duplex, header, after })
  yield* untilClosed(duplex)
})

/** A PROXY header of version 2, where there is one. */
const takeHeader = Effect.fnUntraced(function* (peer: SimPeer) {
  const [first] = yield* peer.connection.peek(0, Infinity)
  if (first !== SIGNATURE_FIRST) return new Uint8Array(0)
  const head = yield* peer.read(HEADER_BYTES_MIN)
  return concat(head, yield* peer.read(head[14]! * 256 + head[15]!))
})

/** Neither TLS nor HTTP. */
const NONSENSE = pattern(40, 200)

/** Said by the backend, since it would be the machine's own time otherwise. */
const DATE = "Thu, 01 Jan 1970 00:00:00 GMT"

const SIGNATURE_FIRST = 13
const HEADER_BYTES_MIN = 16

const speakHttp2 = (serving: Serving): void => {
  const { duplex, plan } = serving
  const session = performServerHandshake(duplex, { settings: { enableConnectProtocol: plan.takesWebSockets } })
  session.on("error", () => {})
  duplex.on("end", () => session.destroy())
  session.on("stream", (stream, headers, _flags, raw) => {
    stream.on("error", () => {})
    // Node ends the body of a stream that was reset, too, and that of one whose session has gone.
    const isWhole = () => !stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR && !session.destroyed
    const { [":method"]: method = "", [":path"]: path = "" } = headers
    const served = note(serving, path, method, raw)
    if (served === undefined) return stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    follow(stream, served, isWhole)
    // Node keeps one that was reset while it is read slowly.
    stream
      .on("aborted", () => (served.goneMs ??= serving.world.journal.now()))
      .on("close", () => (served.goneMs ??= serving.world.journal.now()))
    let sent: Named = {}
    stream.on("trailers", (trailers) => (served.trailer = String(trailers[REQUEST_TRAILER] ?? "")))
    stream.on("wantTrailers", () => stream.sendTrailers(sent))
    const responder: Responder = {
      writable: stream,
      isGone: () => stream.destroyed || stream.closed,
      interim: () => stream.additionalHeaders({ ":status": 103 }),
      head: (status, fields, hasBody, trailers) => {
        sent = trailers
        const all = { ":status": status, [BACKEND_FIELD]: plan.name, date: DATE, ...fields }
        stream.respond(all, { endStream: !hasBody, waitForTrailers: Object.keys(trailers).length > 0 })
      },
      end: () => stream.end(),
      // To close it would end the body, whatever the code is.
      cut: () => stream.destroy(new Error("cut off")),
      refuse: () => {
        served.isRefused = true
        stream.close(constants.NGHTTP2_REFUSED_STREAM)
      },
      leave: () => session.close()
    }
    answer(serving.world, served, stream, responder, serving.after)
  })
}

const speakHttp1 = (serving: Serving): void => {
  const { duplex, plan } = serving
  const end = (): void => void duplex.end()
  const server = createServer({ keepAliveTimeout: 0 }, (incoming, outgoing) => {
    incoming.on("error", () => {})
    outgoing.on("error", () => {})
    outgoing.sendDate = false
    const served = note(serving, incoming.url ?? "", incoming.method ?? "", incoming.rawHeaders)
    if (served === undefined) return void duplex.destroy()
    // Node throws away what comes of a request behind its answer.
    outgoing.on("close", () => (served.goneMs ??= serving.world.journal.now()))
    follow(incoming, served, () => incoming.complete && !outgoing.writableFinished)
    incoming.on("end", () => (served.trailer = incoming.trailers[REQUEST_TRAILER] ?? ""))
    const responder: Responder = {
      writable: outgoing,
      isGone: () => duplex.destroyed || outgoing.destroyed,
      // As long as Node is sending the response before, it would put the head before this.
      interim: () => outgoing.socket !== null && outgoing.writeInformation(103, {}),
      head: (status, fields) => outgoing.writeHead(status, { [BACKEND_FIELD]: plan.name, date: DATE, ...fields }),
      end: (trailers) => {
        outgoing.addTrailers(trailers)
        outgoing.end()
      },
      cut: () => duplex.destroy(),
      // There is no way to say so.
      refuse: () => duplex.destroy(),
      leave: () => outgoing.setHeader("connection", "close")
    }
    answer(serving.world, served, incoming, responder, serving.after)
  })
  server.on("upgrade", (incoming) => {
    duplex.off("end", end)
    openWebSocket(serving, incoming)
  })
  server.on("clientError", () => duplex.destroy())
  duplex.on("end", end)
  server.emit("connection", duplex)
}

/** Behind its head, which is written by hand, the connection is the WebSocket's. */
const openWebSocket = (serving: Serving, incoming: IncomingMessage): void => {
  const { duplex, plan } = serving
  const served = note(serving, incoming.url ?? "", incoming.method ?? "", incoming.rawHeaders)
  if (served === undefined) return void duplex.destroy()
  duplex.on("close", () => (served.goneMs ??= serving.world.journal.now()))
  follow(duplex, served, () => true)
  const key = String(incoming.headers["sec-websocket-key"])
  const responder: Responder = {
    writable: duplex,
    isGone: () => duplex.destroyed,
    interim: () => {},
    head: (status, fields, hasBody) => {
      const own = hasBody ? acceptance(key) : { connection: "close" }
      const all = Object.entries({ [BACKEND_FIELD]: plan.name, date: DATE, ...own, ...fields })
      const lines = all.map(([name, value]) => `${name}: ${value}\r\n`).join("")
      duplex.write(`HTTP/1.1 ${hasBody ? 101 : status} \r\n${lines}\r\n`)
    },
    end: () => duplex.end(),
    cut: () => duplex.destroy(),
    refuse: () => duplex.destroy(),
    leave: () => {}
  }
  answer(serving.world, served, duplex, responder, serving.after)
}

/** RFC 6455 4.2.2. */
const acceptance = (key: string): Named => {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  return { connection: "Upgrade", upgrade: "websocket", "sec-websocket-accept": accept }
}

const note = (
  { header, plan, visit, world }: Serving,
  path: string,
  method: string,
  fields: Fields
): ServedRecord | undefined => {
  const [client, index] = placeOf(path) ?? []
  if (client === undefined || index === undefined) return undefined
  world.journal.note({ _tag: "Served", backend: plan.name, client, index })
  const served: ServedRecord = {
    backend: plan,
    visit,
    client,
    index,
    method,
    fields,
    header,
    body: [],
    end: undefined,
    goneMs: undefined,
    trailer: "",
    isRefused: false
  }
  world.served.push(served)
  return served
}

const follow = (readable: Readable, served: ServedRecord, isWhole: () => boolean): void => {
  readable.on("end", () => {
    if (isWhole()) served.end ??= "whole"
  })
  readable.on("close", () => {
    served.end ??= "cut"
  })
}
