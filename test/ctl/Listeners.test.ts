import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AlreadyExists } from "../../src/admin/AdminError.ts"
import type { Listener } from "../../src/admin/AdminSchema.ts"
import { startAdmin } from "../admin/StubAdmin.ts"
import { ctl } from "./Ctl.ts"

const PUBLIC: Listener = { addr: ":443", proxyProtocol: false, trustedProxies: [], maxConnections: 0 }
const INNER: Listener = {
  addr: "[::1]:8443",
  proxyProtocol: true,
  trustedProxies: ["192.0.2.1", "2001:db8::/32"],
  maxConnections: 50
}

const withListeners = startAdmin({
  listListeners: () => Effect.succeed({ listeners: [PUBLIC, INNER] }),
  addListener: () => Effect.succeed({}),
  updateListener: () => Effect.succeed({}),
  setListenerMaxConnections: () => Effect.succeed({}),
  removeListener: () => Effect.succeed({})
})

describe("listeners", () => {
  it.live("are listed with their settings", () =>
    Effect.gen(function* () {
      const { socket } = yield* withListeners
      assert.strictEqual(
        (yield* ctl(socket, ["listeners", "list"])).stdout,
        "ADDR        MAX CONNECTIONS  PROXY PROTOCOL  TRUSTED PROXIES\n" +
          ":443        -                no              -\n" +
          "[::1]:8443  50               yes             192.0.2.1,2001:db8::/32\n"
      )
      const { stdout } = yield* ctl(socket, ["listeners", "list", "--json"])
      assert.deepStrictEqual(JSON.parse(stdout), { listeners: [PUBLIC, INNER] })
    })
  )

  it.live("are added with the settings that are given, and the proxy's defaults for the others", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      const plain = yield* ctl(socket, ["listeners", "add", "0.0.0.0:0443"])
      assert.strictEqual(plain.stdout, "added listener 0.0.0.0:443\n")
      const flags = ["--proxy-protocol", "--trusted-proxies", "192.0.2.1, 2001:db8::/32", "--max-connections=50"]
      const full = yield* ctl(socket, ["--json", "listeners", "add", "[::1]:8443", ...flags])
      assert.deepStrictEqual(JSON.parse(full.stdout), {})
      assert.deepStrictEqual(asked, [
        { operation: "addListener", request: { listener: { ...PUBLIC, addr: "0.0.0.0:443" } } },
        { operation: "addListener", request: { listener: INNER } }
      ])
    })
  )

  it.live("change in what is given alone, and can have it turned off", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      const set = (...flags: ReadonlyArray<string>) => ctl(socket, ["listeners", "set", "[0::1]:8443", ...flags])
      assert.strictEqual((yield* set("--no-proxy-protocol")).stdout, "changed listener [::1]:8443\n")
      yield* set("--trusted-proxies", "")
      yield* set("--trusted-proxies", "198.51.100.1", "--max-connections", "0")
      const updates = asked.flatMap(({ operation, request }) => (operation === "updateListener" ? [request] : []))
      assert.deepStrictEqual(updates, [
        { listener: { ...INNER, proxyProtocol: false } },
        { listener: { ...INNER, trustedProxies: [] } },
        { listener: { ...INNER, trustedProxies: ["198.51.100.1"], maxConnections: 0 } }
      ])
    })
  )

  it.live("have their limit set without a look at the rest, which others may be changing", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      yield* ctl(socket, ["listeners", "set", ":443", "--max-connections", "7"])
      assert.deepStrictEqual(asked, [
        { operation: "setListenerMaxConnections", request: { listenerAddr: ":443", maxConnections: 7 } }
      ])
    })
  )

  it.live("are not changed when there is no such one, or nothing to change", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      const missing = yield* ctl(socket, ["listeners", "set", ":444", "--proxy-protocol"])
      assert.strictEqual(missing.failure, "there is no listener :444")
      const nothing = yield* ctl(socket, ["listeners", "set", ":443"])
      assert.strictEqual(nothing.stderr, "mcproxyctl: Say what to set\nSee mcproxyctl listeners set --help\n")
      assert.deepStrictEqual(asked, [{ operation: "listListeners", request: {} }])
    })
  )

  it.live("of which anyone may choose the address that is seen are warned of, when they become so", () =>
    Effect.gen(function* () {
      const { socket } = yield* withListeners
      const warning =
        "warning: without trusted proxies anyone may send a PROXY header and claim any address; give --trusted-proxies\n"
      const stderrOf = (...args: ReadonlyArray<string>) =>
        Effect.map(ctl(socket, ["listeners", ...args]), ({ stderr }) => stderr)
      assert.strictEqual(yield* stderrOf("add", ":444", "--proxy-protocol"), warning)
      assert.strictEqual(yield* stderrOf("set", ":443", "--proxy-protocol"), warning)
      assert.strictEqual(yield* stderrOf("set", "[::1]:8443", "--trusted-proxies", ""), warning)
      assert.strictEqual(yield* stderrOf("add", ":444", "--proxy-protocol", "--trusted-proxies", "192.0.2.1"), "")
      assert.strictEqual(yield* stderrOf("set", ":443", "--trusted-proxies", ""), "")
      assert.strictEqual(yield* stderrOf("set", "[::1]:8443", "--max-connections", "1"), "")
    })
  )

  it.live("are removed", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      const { stdout } = yield* ctl(socket, ["listeners", "remove", ":443"])
      assert.strictEqual(stdout, "removed listener :443; its connections go on\n")
      assert.deepStrictEqual(asked, [{ operation: "removeListener", request: { addr: ":443" } }])
    })
  )

  it.live("that the proxy refuses are told in its own words", () =>
    Effect.gen(function* () {
      const { socket } = yield* startAdmin({
        addListener: () => new AlreadyExists({ message: "listener.addr: listener :443 is there already" })
      })
      const { failure, stdout } = yield* ctl(socket, ["listeners", "add", ":443"])
      assert.deepStrictEqual(
        { failure, stdout },
        { failure: "listener.addr: listener :443 is there already", stdout: "" }
      )
    })
  )

  it.live("are given no number that the API cannot say", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      for (const count of ["-1", "4294967296", "1.5", "1e30"]) {
        const { stderr } = yield* ctl(socket, ["listeners", "set", ":443", `--max-connections=${count}`])
        assert.match(stderr, /^mcproxyctl: Invalid value for flag --max-connections: /)
      }
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("are not asked about with an address that can be none", () =>
    Effect.gen(function* () {
      const { asked, socket } = yield* withListeners
      for (const addr of ["443", "example.net:443", ":70000", "::1:443"]) {
        const { stderr } = yield* ctl(socket, ["listeners", "remove", addr])
        assert.include(stderr, `mcproxyctl: ADDR: "${addr}" `)
      }
      assert.deepStrictEqual(asked, [])
    })
  )
})
