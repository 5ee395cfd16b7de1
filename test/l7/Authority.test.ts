import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { isAuthority, isSameAuthority, namesServer } from "../../src/l7/Authority.ts"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import { anyCase } from "./RandomFields.ts"

const hostname = (text: string) => Result.getOrThrow(parseHostname(text))

const name = fc
  .array(fc.stringMatching(/^[a-z_][a-z0-9_-]{0,9}$/), { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join("."))

const port = fc.option(fc.integer({ min: 0, max: 65535 }).map(String), { nil: "" })

/** A name as a client may write it in an authority. */
const written = (text: string) =>
  fc
    .tuple(anyCase(text), fc.constantFrom("", "."), fc.boolean(), port)
    .map(([host, dot, colon, number]) => host + dot + (colon ? `:${number}` : ""))

it("takes every way to write a host, and finds the server's name in it", () => {
  fc.assert(
    fc.property(
      name.chain((text) => fc.tuple(fc.constant(text), written(text))),
      name,
      ([text, authority], other) => {
        assert.isTrue(isAuthority(authority))
        assert.isTrue(namesServer(authority, hostname(text)))
        assert.strictEqual(namesServer(authority, hostname(other)), other === text)
      }
    )
  )
})

it("takes addresses, which name no server", () => {
  for (const authority of ["192.0.2.1", "192.0.2.1:443", "[2001:db8::1]", "[2001:db8::1]:8443", "[::]:"]) {
    assert.isTrue(isAuthority(authority), authority)
    assert.isFalse(namesServer(authority, hostname("api.example.net")))
  }
})

it("takes nothing that two readers could take for different hosts", () => {
  fc.assert(
    fc.property(name, fc.constantFrom(..."@/\\?#%, \t\r\n\0\"'<>[]{}|^`ü\x7f"), fc.nat(), (text, letter, at) => {
      const middle = at % (text.length + 1)
      assert.isFalse(isAuthority(text.slice(0, middle) + letter + text.slice(middle)))
    })
  )
  const spoilt = [
    "",
    ":443",
    "a:65536",
    "a:4a",
    "a:1:2",
    "a:-1",
    "[::1",
    "[]",
    "[]:1",
    "[::1]a",
    "::1",
    "[::1%eth0]",
    "[a"
  ]
  for (const authority of spoilt) assert.isFalse(isAuthority(authority), authority)
})

it("takes hosts of at most 254 characters, the trailing dot among them", () => {
  assert.isTrue(isAuthority(`${"a".repeat(254)}:443`))
  assert.isFalse(isAuthority(`${"a".repeat(255)}:443`))
})

it("does not take a part of a name for the name", () => {
  const server = hostname("api.example.net")
  for (const other of [
    "api.example.ne",
    "pi.example.net",
    "api.example.net..",
    "api.example.net.evil",
    "api-example.net"
  ]) {
    assert.isFalse(namesServer(other, server), other)
  }
})

it("takes two authorities for the same by their letters, not by their case", () => {
  assert.isTrue(isSameAuthority("API.example.net:443", "api.Example.net:443"))
  assert.isFalse(isSameAuthority("api.example.net", "api.example.net:443"))
  assert.isFalse(isSameAuthority("api.example.net", "api.example.com"))
})
