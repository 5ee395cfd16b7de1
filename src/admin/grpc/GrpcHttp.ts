/** Serves what is registered with a Connect router over Node's HTTP: gRPC, gRPC-Web and the Connect protocol. */
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect"
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse
} from "@connectrpc/connect-node"
import { type AdminRequest, type AdminResponse, refuse } from "../AdminConnections.ts"

export const make = (register: (router: ConnectRouter) => void, messageBytesMax: number) => {
  const router = createConnectRouter({
    readMaxBytes: messageBytesMax,
    acceptCompression: [compressionGzip],
    // Answers stay on this machine.
    compressMinBytes: COMPRESS_NEVER
  })
  register(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))

  return async (request: AdminRequest, response: AdminResponse): Promise<void> => {
    const handler = handlers.get(request.url?.split("?", 1)[0] ?? "")
    if (handler === undefined) return refuse(response, 404)
    const asked = readRequest(request, response)
    if (asked === undefined) return refuse(response, 400)
    try {
      const answer = await handler(asked)
      const readable = {
        ...answer,
        // Complete when the body is.
        get trailer() {
          return withPlainMessage(answer.trailer)
        }
      }
      await universalResponseToNodeResponse(readable, response)
    } catch {
      // The client went away, or what it sent ended early: whatever an operation fails with is an answer.
      response.destroy()
    }
  }
}

/** The largest that may be said. */
const COMPRESS_NEVER = 0xffffffff

/**
 * Connect encodes every character of a status message that gRPC would let stand, and grpc-js decodes none of those, so
 * that its users would read `rule%3A is missing`.
 */
const withPlainMessage = (trailer: Headers | undefined): Headers => {
  const plain = new Headers(trailer)
  const message = plain.get(MESSAGE)
  if (message !== null) plain.set(MESSAGE, encodeURI(decodeURIComponent(message)))
  return plain
}

const MESSAGE = "grpc-message"

/** Throws for an authority that makes no URL. */
const readRequest = (request: AdminRequest, response: AdminResponse) => {
  try {
    return universalRequestFromNodeRequest(request, response, undefined, undefined)
  } catch {
    return undefined
  }
}
