import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { HOSTNAME_LENGTH_MAX, parseHostname } from "../../src/snapshot/Hostname.ts"

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-_"

const labels = fc
  .array(fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 1, maxLength: 63 }), { minLength: 1, maxLength: 6 })
  .filter((parts) => parts.join(".").length <= HOSTNAME_LENGTH_MAX && !/^[0-9.]+$/.test(parts.join(".")))

it("has one canonical form for every way to write a name", () => {
  fc.assert(
    fc.property(labels, fc.infiniteStream(fc.boolean()), fc.boolean(), (parts, capital, dot) => {
      const name = parts.join(".")
      const written = [...name]
        .map((letter) => (capital.next().value === true ? letter.toUpperCase() : letter))
        .join("")
      assert.deepStrictEqual(Result.getOrThrow(parseHostname(dot ? `${written}.` : written)), name)
    })
  )
})

it("takes no name with any other character in it", () => {
  fc.assert(
    fc.property(labels, fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }), fc.nat(), (parts, letter, at) => {
      fc.pre(!/[a-zA-Z0-9_.-]/.test(letter))
      const name = parts.join(".")
      const middle = at % (name.length + 1)
      assert.isTrue(Result.isFailure(parseHostname(name.slice(0, middle) + letter + name.slice(middle))))
    }),
    { numRuns: 500 }
  )
})

it("takes labels of up to 63 and names of up to 253 characters", () => {
  const label = "a".repeat(63)
  const longest = [label, label, label, "b".repeat(61)].join(".")
  assert.strictEqual(longest.length, 253)
  for (const name of [label, longest, `${longest}.`]) assert.isTrue(Result.isSuccess(parseHostname(name)))
  for (const name of [`${label}a`, `${longest}b`]) assert.isTrue(Result.isFailure(parseHostname(name)))
})

it("takes names that only look odd", () => {
  for (const name of ["localhost", "_acme.x", "-a-.b", "1.2.3.4a", "a.1", "xn--mnchen-3ya.de", "0x7f.x"]) {
    assert.deepStrictEqual(Result.getOrThrow(parseHostname(name)), name)
  }
})

it("says what is wrong with a name as the end of a sentence", () => {
  const problems = {
    "": "is empty",
    ".": "is empty",
    "192.0.2.1": "is an IP address",
    "192.0.2.1.": "is an IP address",
    "2130706433": "is an IP address",
    "127.1": "is an IP address",
    "::1": "is an IP address",
    "[2001:DB8::1]": "is an IP address",
    "*.example.net": "has a wildcard",
    "example.net:443": "has a port",
    "example.net:": "has a port",
    "example..net": "has an empty label",
    ".example.net": "has an empty label",
    "example.net..": "has an empty label",
    [`${"a".repeat(64)}.net`]: "has a label longer than 63 characters",
    [`${"a.".repeat(127)}a`]: "is longer than 253 characters",
    "exa mple.net": "has a label with a character other than letters, digits, hyphens and underscores",
    "münchen.de": "has a label with a character other than letters, digits, hyphens and underscores",
    // The Kelvin sign, which lower case turns into an ASCII k.
    "\u212A.example.net": "has a label with a character other than letters, digits, hyphens and underscores"
  }
  for (const [name, problem] of Object.entries(problems)) {
    assert.deepStrictEqual(parseHostname(name), Result.fail(problem), name)
  }
})
