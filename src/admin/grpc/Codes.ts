/** The gRPC status of each error of the admin API, and how it is written. */
import { Code, ConnectError } from "@connectrpc/connect"
import type { AdminError } from "../AdminError.ts"

export const CODES: Readonly<Record<AdminError["_tag"], Code>> = {
  InvalidArgument: Code.InvalidArgument,
  NotFound: Code.NotFound,
  AlreadyExists: Code.AlreadyExists,
  FailedPrecondition: Code.FailedPrecondition,
  Unavailable: Code.Unavailable,
  Internal: Code.Internal
}

/** A lone surrogate could not be encoded. */
export const toConnectError = (error: AdminError): ConnectError =>
  new ConnectError(error.message.toWellFormed(), CODES[error._tag])

/**
 * No more of a `grpc-message` is encoded than gRPC asks: grpc-js decodes what `encodeURI` encodes and no more, so that
 * its users would read `rule%3A is missing`.
 */
export const encodeMessage = (message: string): string => encodeURI(message)
