/** The devserver cannot start; `message` says what is wrong, where, and what to do. */
import { Schema } from "effect"

export class DevserverError extends Schema.TaggedError<DevserverError>()("DevserverError", {
  message: Schema.String
}) {}
