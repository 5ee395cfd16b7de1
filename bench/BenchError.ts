/** The bench cannot go on, or a limit it was told to check is not met. */
import { Schema } from "effect"

export class BenchError extends Schema.TaggedError<BenchError>()("BenchError", { message: Schema.String }) {}
