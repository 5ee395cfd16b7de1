/**
 * The kinds of value that a config key takes, each a Schema from what TOML holds to what the proxy uses.
 *
 * A schema's failure messages are the ends of sentences that begin with the offending value: `"5" is not …`.
 * Paths stay as they are written: who knows the config's folder resolves them.
 */
import { Effect, Result, Schema, SchemaGetter, SchemaIssue } from "effect"
import type { TomlValue } from "smol-toml"
import {
  parseBackendAddress,
  formatBackendAddress,
  parseListenAddress,
  formatListenAddress
} from "../snapshot/Endpoint.ts"
import { formatCidr, parseFirewallRule, parseIpOrCidr, type FirewallRule } from "../snapshot/FirewallRule.ts"
import { parseHostname } from "../snapshot/Hostname.ts"
import { formatDuration, parseDuration } from "./Duration.ts"

export interface Value<A> {
  readonly schema: Schema.Codec<A, unknown>
  /** What it is, as a noun phrase that names the range. */
  readonly expects: string
  /** The TOML value that an environment variable's text stands for. A list has none: only the file can hold it. */
  readonly fromText: ((text: string) => TomlValue) | undefined
}

const EXACT_NAME = "an exact host name such as git.example.net"
const IP_OR_CIDR = "an address or a network such as 10.0.0.0/8"

export const boolean: Value<boolean> = {
  schema: Schema.Boolean.annotate({ message: "is not true or false" }),
  expects: "true or false",
  fromText: (text) => (text === "true" ? true : text === "false" ? false : text)
}

/** A whole number, both ends included. */
export const integer = (minimum: number, maximum: number): Value<number> => {
  const expects = `an integer from ${minimum} to ${maximum}`
  const isInRange = Schema.isBetweenBigInt(
    { minimum: BigInt(minimum), maximum: BigInt(maximum) },
    { message: `is not ${expects}` }
  )
  return {
    schema: Schema.BigInt.annotate({ message: `is not ${expects}` })
      .check(isInRange)
      .pipe(
        Schema.decodeTo(Schema.Number, {
          decode: SchemaGetter.transform(Number),
          encode: SchemaGetter.transform(BigInt)
        })
      ),
    expects,
    fromText: (text) => (/^-?[0-9]{1,18}$/.test(text) ? BigInt(text) : text)
  }
}

/** Milliseconds, both ends included. */
export const duration = (minimumMs: number, maximumMs: number): Value<number> => {
  const range = `${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}`
  const expects = `a duration from ${range}, such as "5s" or "1m30s"`
  const isInRange = Schema.isBetween({ minimum: minimumMs, maximum: maximumMs }, { message: `is not ${expects}` })
  return written(expects, Schema.Number.check(isInRange), parseDuration, formatDuration)
}

/** Milliseconds; `"0s"`, and so 0, is off. */
export const durationOrOff = (minimumMs: number, maximumMs: number): Value<number> => {
  const expects = `"0s" (off) or a duration from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}`
  const isOffOrInRange = Schema.makeFilter((ms: number) => ms === 0 || (ms >= minimumMs && ms <= maximumMs), {
    message: `is not ${expects}`
  })
  return written(expects, Schema.Number.check(isOffOrInRange), parseDuration, formatDuration)
}

export const oneOf = <const Names extends ReadonlyArray<string>>(names: Names): Value<Names[number]> => {
  const expects = `one of ${names.map((name) => `"${name}"`).join(", ")}`
  return {
    schema: Schema.Literals(names).annotate({ message: `is not ${expects}` }),
    expects,
    fromText: (text) => text
  }
}

/** Each item fails for itself. */
export const listOf = <A>(item: Value<A>): Value<ReadonlyArray<A>> => {
  const expects = `an array, each item ${item.expects}`
  return { schema: Schema.Array(item.schema).annotate({ message: `is not ${expects}` }), expects, fromText: undefined }
}

/** Linux's PATH_MAX, less the NUL at the end. */
export const PATH_BYTES_MAX = 4095

/** A path that must be given. */
export const path = canonical("a path", (text) =>
  text === "" ? Result.fail("is empty; write a path") : parsePath(text)
)

/** Empty: none. */
export const pathOrNone = canonical("a path, or empty for none", parsePath)

export const listenAddress = canonical('":port", "ip:port" or "[ip6]:port"', (text) =>
  Result.map(parseListenAddress(text), formatListenAddress)
)

export const backendAddress = canonical('"host:port", "ip:port" or "[ip6]:port"', (text) =>
  Result.map(parseBackendAddress(text), formatBackendAddress)
)

export const hostname = written(
  EXACT_NAME,
  Schema.String.pipe(Schema.brand("mc-proxy/Hostname")),
  advising(EXACT_NAME, parseHostname),
  (name) => name
)

/** Empty: none. */
export const hostnameOrNone = canonical(`${EXACT_NAME}, or empty for none`, (text) =>
  text === "" ? Result.succeed(text) : advising(EXACT_NAME, parseHostname)(text)
)

/** What a firewall rule of `type` holds. */
export const ruleValue = (type: FirewallRule["type"], expects: string): Value<string> =>
  canonical(
    expects,
    advising(expects, (text) => Result.map(parseFirewallRule(type, text), ({ value }) => value))
  )

/** An address alone stays one, as it was meant. */
export const ipOrCidr = canonical(
  IP_OR_CIDR,
  advising(IP_OR_CIDR, (text) =>
    Result.map(parseIpOrCidr(text), (cidr) => (text.includes("/") ? formatCidr(cidr) : cidr.ip.text))
  )
)

/** What a policy looks for in a request's header; characters beyond these no header carries in one known encoding. */
export const policyValue = canonical("1 to 1024 printable ASCII characters", (text) =>
  /^[ -~]{1,1024}$/.test(text) && text.trim() !== ""
    ? Result.succeed(text)
    : Result.fail("is not 1 to 1024 printable ASCII characters, not all spaces")
)

/** The path of a URL (RFC 3986 3.3), of a length that fits any request line. */
export const requestPath = canonical('a path such as "/metrics"', (text) =>
  /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,255}$/.test(text)
    ? Result.succeed(text)
    : Result.fail('is no path of at most 256 URL characters that starts with "/"')
)

/** Where an exporter appends its own path, without the slash at the end. */
export const httpUrl = canonical('a URL such as "http://127.0.0.1:4318"', (text) => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return Result.fail("is no http:// or https:// URL")
  if (url.username !== "" || url.password !== "") return Result.fail("has a user name or password, and none is sent")
  if (/[?#]/.test(text)) return Result.fail("has a query or fragment; the exporter appends a path to it")
  return Result.succeed(text.replace(/\/+$/, ""))
})

/** The parser, its failures ending in what to write. */
function advising<A>(
  expects: string,
  parse: (text: string) => Result.Result<A, string>
): (text: string) => Result.Result<A, string> {
  return (text) => Result.mapError(parse(text), (problem) => `${problem}; write ${expects}`)
}

/** Canonical text from text: what `parse` gives, it takes again unchanged. */
function canonical(expects: string, parse: (text: string) => Result.Result<string, string>): Value<string> {
  return written(expects, Schema.String, parse, (text) => text)
}

/** A value that is a string in TOML; `parse` fails with the end of a sentence. */
function written<A, Parsed>(
  expects: string,
  schema: Schema.Codec<A, Parsed>,
  parse: (text: string) => Result.Result<Parsed, string>,
  format: (value: Parsed) => string
): Value<A> {
  return {
    schema: Schema.String.annotate({ message: `is not ${expects}` }).pipe(
      Schema.decodeTo(schema, {
        decode: SchemaGetter.transformEffect((text: string) =>
          Effect.fromResult(Result.mapError(parse(text), (message) => new SchemaIssue.InvalidValue({ message })))
        ),
        encode: SchemaGetter.transform(format)
      })
    ),
    expects,
    fromText: (text) => text
  }
}

/** Whether the system can have a file of that name. */
export function parsePath(text: string): Result.Result<string, string> {
  if (text.includes("\0")) return Result.fail("has a NUL character, which no path can have")
  if (Buffer.byteLength(text) > PATH_BYTES_MAX) return Result.fail(`is longer than ${PATH_BYTES_MAX} bytes`)
  return Result.succeed(text)
}
