/** Serves methods and whatever else is registered over Node's HTTP: gRPC, gRPC-Web and the Connect protocol. */
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect"
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse
} from "@connectrpc/connect-node"
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2"
import { type AdminRequest, type AdminResponse, refuse } from "../AdminConnections.ts"
import { encodeMessage } from "./Codes.ts"
import { type Methods, register } from "./GrpcAdapter.ts"
import { answerPlain, isPlain } from "./PlainGrpc.ts"

export interface GrpcHttpOptions {
  readonly methods: Methods
  readonly registerOthers: (router: ConnectRouter) => void
  readonly messageBytesMax: number
}

export const make = ({ messageBytesMax, methods, registerOthers }: GrpcHttpOptions) => {
  const router = createConnectRouter({
    readMaxBytes: messageBytesMax,
    acceptCompression: [compressionGzip],
    // Answers stay on this machine.
    compressMinBytes: COMPRESS_NEVER
  })
  register(router, methods)
  registerOthers(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))
  const unary = new Map(methods.unary.map((each) => [`/${each.method.parent.typeName}/${each.method.name}`, each]))

  /** Answers a stream that is a plain call; others are left for `handle`. */
  const takePlain = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean => {
    const method = unary.get(pathOf(headers[":path"]))
    if (method === undefined || !isPlain(headers)) return false
    answerPlain(stream, headers, method, messageBytesMax)
    return true
  }

  const handle = async (request: AdminRequest, response: AdminResponse): Promise<void> => {
    const handler = handlers.get(pathOf(request.url))
    if (handler === undefined) return refuse(response, 404)
    const asked = readRequest(request, response)
    if (asked === undefined) return refuse(response, 400)
    try {
      const answer = await handler(asked)
      const readable = {
        ...answer,
        // Complete when the body is.
        get trailer() {
          return withReadableMessage(answer.trailer)
        }
      }
      await universalResponseToNodeResponse(readable, response)
    } catch {
      // The client went away, or what it sent ended early: whatever an operation fails with is an answer.
      response.destroy()
    }
  }

  return { handle, takePlain }
}

const pathOf = (url = ""): string => url.split("?", 1)[0]!

/** The largest that may be said. */
const COMPRESS_NEVER = 0xffffffff

/** Throws for an authority that makes no URL. */
const readRequest = (request: AdminRequest, response: AdminResponse) => {
  try {
    return universalRequestFromNodeRequest(request, response, undefined, undefined)
  } catch {
    return undefined
  }
}

/** Connect encodes more of it than gRPC asks. */
const withReadableMessage = (trailer: Headers | undefined): Headers => {
  const readable = new Headers(trailer)
  const message = readable.get(MESSAGE)
  if (message !== null) readable.set(MESSAGE, encodeMessage(decodeURIComponent(message)))
  return readable
}

const MESSAGE = "grpc-message"
