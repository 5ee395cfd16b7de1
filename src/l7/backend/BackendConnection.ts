/** One connection to a backend, as its pool sees it, whichever version of HTTP it speaks. */
import type { PendingRequest } from "./PendingRequest.ts"

export interface BackendConnection {
  /** How many requests more it takes now. */
  readonly free: number
  /** Whether a WebSocket can be asked for. */
  readonly takesWebSockets: boolean
  /** Sends it now; to be called while `free` is not 0. It answers the request whatever happens, and does not throw. */
  send(request: PendingRequest): void
  /** Ends at once, with all that runs on it. */
  destroy(): void
}

/** What a connection tells its pool. */
export interface ConnectionOwner {
  /** `free` has grown. */
  freed(): void
  /** It is closed. */
  ended(): void
}
