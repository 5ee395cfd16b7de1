/**
 * Firewall rules as a file that people and scripts write: one `type value` a line, and comments after `#`.
 *
 *     # office
 *     ip 192.0.2.1
 *     cidr 2001:db8::/32   # lab
 *     country KP
 */
import { Result } from "effect"
import type { ConfigProblem } from "../config/ConfigError.ts"
import { showText } from "../config/Printable.ts"
import { ruleKey } from "../snapshot/Change.ts"
import { type FirewallRule, parseFirewallRule } from "../snapshot/FirewallRule.ts"

/** The rules in canonical form, each once; or what is wrong, for every line where something is. */
export const parseRules = (text: string): Result.Result<ReadonlyArray<FirewallRule>, ReadonlyArray<ConfigProblem>> => {
  const rules = new Map<string, FirewallRule>()
  const problems: Array<ConfigProblem> = []
  for (const [at, line] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    const words = line.replace(/#.*$/s, "").trim()
    if (words === "") continue
    const rule = parseRule(words)
    if (Result.isSuccess(rule)) rules.set(ruleKey(rule.success), rule.success)
    else problems.push({ path: `line ${at + 1}`, message: rule.failure })
  }
  return problems.length > 0 ? Result.fail(problems) : Result.succeed([...rules.values()])
}

/** What `parseRules` reads as the same rules. */
export const formatRules = (rules: ReadonlyArray<FirewallRule>): string =>
  rules.map(({ type, value }) => `${type} ${value}\n`).join("")

const parseRule = (words: string): Result.Result<FirewallRule, string> => {
  const [type = "", value = "", ...more] = words.split(/\s+/)
  if (!isType(type)) return Result.fail(`${showText(type)} is none of ${TYPES.join(", ")}`)
  if (value === "" || more.length > 0) return Result.fail(`${showText(words)} is not one type and one value`)
  return Result.mapError(parseFirewallRule(type, value), (problem) => `${showText(value)} ${problem}`)
}

const TYPES: ReadonlyArray<string> = ["ip", "cidr", "country"] satisfies ReadonlyArray<FirewallRule["type"]>

const isType = (word: string): word is FirewallRule["type"] => TYPES.includes(word)
