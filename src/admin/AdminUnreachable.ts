/**
 * Why an operation got no answer from the admin socket, in words for the operator; what was wrong on the way there,
 * never a refusal of the proxy's own.
 */
import { Data } from "effect"
import { RpcClientError } from "effect/rpc"

/** `message` names the socket, and says what to do. */
export class AdminUnreachable extends Data.TaggedError("AdminUnreachable")<{
  readonly socket: string
  readonly reason: UnreachableReason
  readonly message: string
}> {
  /** For what Effect RPC, or the client of Node's `http` under it, has failed with. */
  static from(socket: string, error: unknown): AdminUnreachable {
    if (endedEarly(error)) return AdminUnreachable.cut(socket)
    const code = codeOf(error)
    // HPE: of Node's HTTP parser.
    const reason = code === undefined || code.startsWith("HPE_") ? "foreign" : REASONS[code]
    return reason === undefined
      ? new AdminUnreachable({ socket, reason: "other", message: `${socket}: cannot be reached (${code})` })
      : new AdminUnreachable({ socket, reason, message: `${socket}: ${WORDS[reason]}` })
  }

  static foreign(socket: string): AdminUnreachable {
    return new AdminUnreachable({ socket, reason: "foreign", message: `${socket}: ${WORDS.foreign}` })
  }

  static cut(socket: string): AdminUnreachable {
    return new AdminUnreachable({ socket, reason: "cut", message: `${socket}: ${WORDS.cut}` })
  }

  static silent(socket: string, seconds: number): AdminUnreachable {
    const words = `no answer within ${seconds} s; the proxy is stopped or stuck, or its disk is; a change may still be made`
    return new AdminUnreachable({ socket, reason: "silent", message: `${socket}: ${words}` })
  }
}

/**
 * - `missing`: there is no such socket.
 * - `dead`: whoever made the socket has gone.
 * - `denied`: this user may not use it.
 * - `silent`: no answer in time.
 * - `cut`: the connection ended before the answer was whole; a change may have been made.
 * - `foreign`: what answers is no mc-proxy, or none of this version.
 * - `other`: what the operating system says, in its own words.
 */
export type UnreachableReason = "missing" | "dead" | "denied" | "silent" | "cut" | "foreign" | "other"

type KnownReason = Exclude<UnreachableReason, "silent" | "other">

const REASONS: Readonly<Partial<Record<string, KnownReason>>> = {
  ENOENT: "missing",
  ENOTDIR: "missing",
  ECONNREFUSED: "dead",
  EACCES: "denied",
  EPERM: "denied",
  ECONNRESET: "cut",
  EPIPE: "cut"
}

const WORDS: Readonly<Record<KnownReason, string>> = {
  missing: "no such socket; is the proxy running, and is this the addr of [grpc] in its config?",
  dead: "nobody is listening; is the proxy running?",
  denied: "permission denied; run this as the user that runs mc-proxy",
  cut: "the connection ended before the answer; the proxy has stopped, with what was asked done or not, or serves as many admin connections as it takes",
  foreign: "what answers is no mc-proxy, or one of another version; is this the addr of [grpc] in its config?"
}

/** HTTP's end has come in order, and RPC's has not: a proxy that stops ends what it was at so. */
const endedEarly = (error: unknown): boolean =>
  error instanceof RpcClientError.RpcClientError &&
  error.reason._tag === "RpcClientDefect" &&
  !(error.reason.cause instanceof Error)

/** The system's or the parser's code, which is on the innermost of errors that wrap each other. */
const codeOf = (error: unknown): string | undefined => {
  for (let inner = error, depth = 0; depth < WRAPPERS_MAX && inner instanceof Error; depth++) {
    if ("code" in inner && typeof inner.code === "string") return inner.code
    inner = "reason" in inner ? inner.reason : inner.cause
  }
  return undefined
}

/** Enough for any that come; an error may wrap itself. */
const WRAPPERS_MAX = 8
