/**
 * What operators and clients write for hosts: names, addresses, networks, and both with a port. What is taken has one
 * canonical form, in which it is taken again; and names and addresses are never mistaken for one another.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import { Result } from "effect"
import { isIP } from "node:net"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import {
  formatBackendAddress,
  formatListenAddress,
  parseBackendAddress,
  parseListenAddress
} from "../../src/snapshot/Endpoint.ts"
import { formatCidr, parseCidr, parseIpOrCidr } from "../../src/snapshot/FirewallRule.ts"
import { HOSTNAME_LENGTH_MAX, parseHostname } from "../../src/snapshot/Hostname.ts"
import type { Target } from "./Target.ts"

/** By the contract's words, label for label. */
const isHostname = (text: string): boolean => {
  const name = text.replace(/\.$/, "")
  const labels = name.split(".")
  const areLabels = labels.every((label) => label.length <= 63 && /^[A-Za-z0-9_-]+$/.test(label))
  return areLabels && name.length <= HOSTNAME_LENGTH_MAX && !labels.every((label) => /^[0-9]+$/.test(label))
}

const checkHostname = (text: string): boolean => {
  const parsed = parseHostname(text)
  strictEqual(Result.isSuccess(parsed), isHostname(text))
  if (Result.isFailure(parsed)) return false
  const name = parsed.success
  strictEqual(isIP(name), 0)
  for (const spelling of [name, `${name}.`, name.toUpperCase()]) deepStrictEqual(parseHostname(spelling), parsed)
  deepStrictEqual(parseBackendAddress(`${text}:443`), Result.succeed({ host: name, port: 443 }))
  return true
}

const checkAddress = (text: string): boolean => {
  const ip = parseIpAddress(text)
  strictEqual(ip !== undefined, isIP(text) !== 0 && !text.includes("%"))
  if (ip === undefined) return false
  strictEqual(isIP(ip.text), ip.family)
  deepStrictEqual(parseIpAddress(ip.text), ip)
  ok(ip.family === 4 || ip.w0 !== 0 || ip.w1 !== 0 || ip.w2 !== 0xffff, "no mapped address is left")
  return true
}

/** Takes `text` again in the canonical form that it has. */
const checkFixed = <A>(
  text: string,
  parse: (text: string) => Result.Result<A, string>,
  format: (value: A) => string
) => {
  const parsed = parse(text)
  if (Result.isSuccess(parsed)) deepStrictEqual(parse(format(parsed.success)), parsed)
  return Result.isSuccess(parsed)
}

const check = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString("latin1")
  const takenAs = {
    name: checkHostname(text),
    ip: checkAddress(text),
    cidr: checkFixed(text, parseCidr, formatCidr),
    network: checkFixed(text, parseIpOrCidr, formatCidr),
    listen: checkFixed(text, parseListenAddress, formatListenAddress),
    backend: checkFixed(text, parseBackendAddress, formatBackendAddress)
  }
  strictEqual(takenAs.network, takenAs.ip || takenAs.cidr)
  ok(!(takenAs.name && (takenAs.network || takenAs.listen || takenAs.backend)), "one reading of a text, no two")
  return JSON.stringify(takenAs)
}

export const namesTarget: Target = {
  name: "names",
  bytesMax: 300,
  dictionary: [
    "a.test",
    "1.2.3.4",
    "::ffff:10.0.0.0/104",
    "2001:db8::1",
    "[::1]:443",
    ":443",
    "/32",
    "0.0.0.0/0",
    "::",
    "%eth0",
    "*.",
    "xn--",
    "a".repeat(63),
    "65536",
    "[",
    "]",
    "\xe9",
    "\x00"
  ],
  check
}
