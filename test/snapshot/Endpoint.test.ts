import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { isIP } from "node:net"
import {
  formatBackendAddress,
  formatListenAddress,
  parseBackendAddress,
  parseListenAddress
} from "../../src/snapshot/Endpoint.ts"

const hosts = fc.oneof(
  fc.ipV4(),
  fc.ipV6().map((text) => `[${text}]`),
  fc.domain()
)

it("writes every address that it takes so that it takes it again as the same", () => {
  fc.assert(
    fc.property(fc.option(hosts, { nil: "" }), fc.nat(65_535), (host, port) => {
      const text = `${host}:${port}`
      const listen = Result.map(parseListenAddress(text), formatListenAddress)
      if (Result.isSuccess(listen)) {
        assert.deepStrictEqual(parseListenAddress(listen.success), parseListenAddress(text))
      }
      const backend = Result.map(parseBackendAddress(text), formatBackendAddress)
      if (Result.isSuccess(backend)) {
        assert.deepStrictEqual(parseBackendAddress(backend.success), parseBackendAddress(text))
      }
      assert.strictEqual(Result.isSuccess(listen), host === "" || isIP(host.replace(/[[\]]/g, "")) !== 0)
      assert.strictEqual(Result.isSuccess(backend), host !== "" && port > 0)
    }),
    { numRuns: 1000 }
  )
})

it("puts a listener's address into canonical form", () => {
  const golden = {
    ":443": ":443",
    ":0": ":0",
    ":00443": ":443",
    "127.0.0.1:65535": "127.0.0.1:65535",
    "[::]:443": "[::]:443",
    "[2001:DB8:0:0::1]:443": "[2001:db8::1]:443",
    "[::ffff:192.0.2.1]:443": "192.0.2.1:443"
  }
  for (const [input, text] of Object.entries(golden)) {
    assert.strictEqual(formatListenAddress(Result.getOrThrow(parseListenAddress(input))), text)
  }
})

it("puts a backend's address into canonical form", () => {
  const golden = {
    "Git.Example.NET.:18443": "git.example.net:18443",
    "localhost:1": "localhost:1",
    "127.0.0.1:8080": "127.0.0.1:8080",
    "[2001:DB8::1]:443": "[2001:db8::1]:443",
    "[::ffff:192.0.2.1]:443": "192.0.2.1:443"
  }
  for (const [input, text] of Object.entries(golden)) {
    assert.strictEqual(formatBackendAddress(Result.getOrThrow(parseBackendAddress(input))), text)
  }
})

it("says what is wrong with a listener's address", () => {
  const form = 'is not ":port", "ip:port" or "[ip6]:port"'
  const problems = {
    "": form,
    "443": form,
    ":": form,
    ":443 ": form,
    ":-1": form,
    ":123456": form,
    "::1:443": form,
    "[::1]": form,
    "[127.0.0.1]:443": form,
    ":65536": "has a port over 65535",
    "localhost:443": 'names a host; a listener binds to ":port", "ip:port" or "[ip6]:port"',
    "[::g]:443": 'names a host; a listener binds to ":port", "ip:port" or "[ip6]:port"'
  }
  for (const [input, problem] of Object.entries(problems)) {
    assert.deepStrictEqual(parseListenAddress(input), Result.fail(problem), input)
  }
})

it("says what is wrong with a backend's address", () => {
  const form = 'is not "host:port", "ip:port" or "[ip6]:port"'
  const problems = {
    "": form,
    localhost: form,
    "localhost:http": form,
    "http://localhost:80": form,
    "::1:443": form,
    "localhost:0": "has a port outside 1 to 65535",
    "localhost:65536": "has a port outside 1 to 65535",
    ":80": "has a host that is empty",
    "*.example.net:80": "has a host that has a wildcard",
    "127.1:80": "has a host that is an IP address"
  }
  for (const [input, problem] of Object.entries(problems)) {
    assert.deepStrictEqual(parseBackendAddress(input), Result.fail(problem), input)
  }
})
