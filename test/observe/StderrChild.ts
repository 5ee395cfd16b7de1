/** Run as a process: logs as many lines as its argument says to stderr, then ends by itself. */
import { Effect } from "effect"
import { LogSink } from "../../src/observe/LogSink.ts"

export const childLine = (i: number) => `${i} `.padEnd(200, ".")

if (import.meta.main) {
  const program = Effect.map(LogSink, (sink) => {
    for (let i = 0; i < Number(process.argv[2]); i++) sink.write(childLine(i))
  })
  await Effect.runPromise(Effect.provide(program, LogSink.layer("text")))
}
