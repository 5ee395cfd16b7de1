/**
 * What a command prints on stdout: lines for people, or with `--json` one document of proto3 JSON, every field in it.
 *
 * Nothing of it acts on a terminal, whoever has chosen it. A reader that goes away ends the printing, and is no failure;
 * a disk that is full is one.
 */
import { Console, Context, Data, Effect, Layer, type PlatformError, Schema, Stdio, Stream, Terminal } from "effect"
import type { Rpc } from "effect/rpc"
import type { Operation } from "../admin/AdminClient.ts"
import type { AdminError } from "../admin/AdminError.ts"
import { AdminRpcs } from "../admin/AdminRpcs.ts"
import type { AdminUnreachable } from "../admin/AdminUnreachable.ts"
import { escapeInvisible } from "../config/Printable.ts"

export class Output extends Context.Service<
  Output,
  {
    readonly json: boolean
    /** Of the terminal; `undefined`: stdout is none, or nobody knows. */
    readonly width: number | undefined
    /** Each line as it comes. Colors are for terminals, whose users want them. */
    print(lines: Stream.Stream<string | ColoredLine, Unanswered>): Effect.Effect<void, Unanswered | Unprinted>
  }
>()("mc-proxy/ctl/Output") {
  static layer(json: boolean): Layer.Layer<Output, never, Stdio.Stdio | Terminal.Terminal> {
    return Layer.effect(
      Output,
      Effect.gen(function* () {
        const stdio = yield* Stdio.Stdio
        const terminal = yield* Terminal.Terminal
        const columns = (yield* stdio.stdoutIsTerminal) ? yield* terminal.columns : 0
        // A terminal that has been told no size has 0.
        const width = columns > 0 ? columns : undefined
        const colored = width !== undefined && !process.env["NO_COLOR"]
        const print = (lines: Stream.Stream<string | ColoredLine, Unanswered>) =>
          lines.pipe(
            Stream.map((line) => `${typeof line === "string" ? escapeInvisible(line) : paint(line, colored)}\n`),
            Stream.run(stdio.stdout()),
            Effect.catchTag("PlatformError", endOrFail)
          )
        return Output.of({ json, width, print })
      })
    )
  }
}

export interface ColoredLine {
  readonly text: string
  readonly color: Color
}

export type Color = "plain" | "dim" | "green" | "yellow" | "red"

/** Select Graphic Rendition (ECMA-48 8.3.117). */
const SGR: Readonly<Record<Color, number>> = { plain: 0, dim: 2, green: 32, yellow: 33, red: 31 }

const paint = ({ color, text }: ColoredLine, colored: boolean): string => {
  const line = escapeInvisible(text)
  return colored && color !== "plain" ? `\u001b[${SGR[color]}m${line}\u001b[0m` : line
}

type Unanswered = AdminError | AdminUnreachable

/** The answer has come, and could not be written. */
export class Unprinted extends Data.TaggedError("Unprinted")<{ readonly message: string }> {}

const endOrFail = ({ reason: { cause } }: PlatformError.PlatformError): Effect.Effect<void, Unprinted> => {
  if (cause instanceof Error && "code" in cause && READER_GONE.has(cause.code)) return Effect.void
  const why = cause instanceof Error ? cause.message : String(cause)
  return new Unprinted({
    message: `stdout: cannot be written (${why}); what was asked for is done, and not told whole`
  })
}

/** Of a pipe, and of a socket. */
const READER_GONE: ReadonlySet<unknown> = new Set(["EPIPE", "ECONNRESET"])

/** Prints what an operation has answered; `lines` are for people. */
export const answer = Effect.fnUntraced(function* <const O extends Operation["_tag"]>(
  operation: O,
  value: Rpc.Success<Rpc.ExtractTag<Operation, O>>,
  lines: (width: number | undefined) => ReadonlyArray<string>
) {
  const schema = AdminRpcs.requests.get(operation)!.successSchema
  yield* document(() => Schema.encodeUnknownSync(schema)(value), lines)
})

/** Prints a document that is no operation's answer. */
export const document = Effect.fnUntraced(function* (
  json: () => unknown,
  lines: (width: number | undefined) => ReadonlyArray<string>
) {
  const output = yield* Output
  const text = output.json ? JSON.stringify(json(), null, 2).split("\n") : lines(output.width)
  yield* output.print(Stream.fromIterable(text))
})

/** What works and is hardly meant so. */
export const warn = (warning: string) => Console.error(`warning: ${escapeInvisible(warning)}`)
