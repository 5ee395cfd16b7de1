/** What the library cannot tell of a command line by itself: flags that are right alone, and wrong together. */
import { CliError } from "effect/cli"

/** Told as every wrong usage is, with exit code 2. `command` is the words after the program's name. */
export const wrongUsage = (command: ReadonlyArray<string>, message: string): CliError.ShowHelp =>
  new CliError.ShowHelp({
    commandPath: ["mcproxyctl", ...command],
    errors: [new CliError.ValidationError({ message })]
  })
