/**
 * Why an operation of the admin API was refused. Each message says what is wrong, where, and what to do.
 *
 * Each is one gRPC status (`grpc/Codes.ts`); after every one of them nothing has changed, except where `Internal` says
 * that it is not known.
 */
import { Schema } from "effect"

/** A field of the request. `INVALID_ARGUMENT`. */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>()("InvalidArgument", {
  message: Schema.String
}) {}

/** `NOT_FOUND`. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { message: Schema.String }) {}

/** `ALREADY_EXISTS`. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", { message: Schema.String }) {}

/** The request is right and the proxy, or its machine, not so that it can be done. `FAILED_PRECONDITION`. */
export class FailedPrecondition extends Schema.TaggedError<FailedPrecondition>()("FailedPrecondition", {
  message: Schema.String
}) {}

/** Draining, or more mutations wait than may. `UNAVAILABLE`. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { message: Schema.String }) {}

/** The database, or the proxy itself, has failed. `INTERNAL`. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", { message: Schema.String }) {}

export const AdminError = Schema.Union([
  InvalidArgument,
  NotFound,
  AlreadyExists,
  FailedPrecondition,
  Unavailable,
  Internal
])
export type AdminError = typeof AdminError.Type
