/** A file of firewall rules is read line by line, each line for itself; what is read is written and read the same. */
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import { Result } from "effect"
import { formatRules, parseRules } from "../../src/ctl/RulesFile.ts"
import { ruleKey } from "../../src/snapshot/Change.ts"
import type { Target } from "./Target.ts"

const check = (bytes: Uint8Array): string => {
  const text = new TextDecoder().decode(bytes)
  const whole = parseRules(text)
  const single = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .map((line) => parseRules(line))
  if (Result.isFailure(whole)) {
    const problems = single.flatMap((line, at) =>
      Result.isFailure(line) ? line.failure.map(({ message }) => ({ path: `line ${at + 1}`, message })) : []
    )
    deepStrictEqual(whole.failure, problems)
    return withoutTexts(whole.failure[0]!.message)
  }
  const rules = single.flatMap((line) => Result.getOrThrow(line))
  deepStrictEqual(whole.success, [...new Map(rules.map((rule) => [ruleKey(rule), rule])).values()])
  deepStrictEqual(parseRules(formatRules(whole.success)), whole)
  deepStrictEqual(parseRules(text.replaceAll("\n", " # b\r\n")), whole)
  strictEqual(new Set(whole.success.map(ruleKey)).size, whole.success.length)
  return [...new Set(whole.success.map(({ type }) => type))].toSorted().join()
}

/** The kind of a problem. */
const withoutTexts = (message: string): string => message.replace(/"(?:[^"\\]|\\.)*"|[0-9]+/g, "_")

export const rulesTarget: Target = {
  name: "rules",
  bytesMax: 300,
  dictionary: [
    "ip 192.0.2.1\n",
    "ip ::ffff:192.0.2.1\n",
    "cidr 10.0.0.0/8\n",
    "cidr 2001:db8::/32\n",
    "country KP\n",
    "ip ",
    "cidr ",
    "country ",
    "# ",
    "\r\n",
    "\t",
    "\xef\xbb\xbf",
    "\xe2\x80\xa8",
    "/33",
    "::"
  ],
  check
}
