/** Arguments and flags that several commands take, in canonical form: one that cannot be it is a wrong usage. */
import { Effect, Result } from "effect"
import { Argument, CliError, Flag } from "effect/cli"
import { showText } from "../config/Printable.ts"
import { formatListenAddress, parseListenAddress } from "../snapshot/Endpoint.ts"
import { parseHostname } from "../snapshot/Hostname.ts"

const canonical = <A>(name: string, parse: (text: string) => Result.Result<A, string>) =>
  Argument.mapEffect((text: string) =>
    Effect.mapError(
      Effect.fromResult(parse(text)),
      (problem) => new CliError.ValidationError({ message: `${name}: ${showText(text)} ${problem}` })
    )
  )

/** A listener, by its address. */
export const listenAddress = (name: string): Argument.Argument<string> =>
  Argument.String(name).pipe(
    Argument.withDescription('The address of a listener: ":port", "ip:port" or "[ip6]:port"'),
    canonical(name, (text) => Result.map(parseListenAddress(text), formatListenAddress))
  )

export const listener = listenAddress("LISTENER")

export const hostname = Argument.String("HOSTNAME").pipe(
  Argument.withDescription("The name that clients ask for (SNI)"),
  canonical("HOSTNAME", parseHostname)
)

/** A flag for as much as the API's whole numbers can say; how many are allowed, the proxy knows. */
export const countFlag = (name: string): Flag.Flag<number> =>
  Flag.Int(name).pipe(
    Flag.withMetavar("N"),
    Flag.filter(
      (count) => count >= 0 && count <= UINT32_MAX,
      () => `0 to ${UINT32_MAX}`
    )
  )

const UINT32_MAX = 2 ** 32 - 1
