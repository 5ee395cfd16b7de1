import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Scope } from "effect"
import type { ServerResponse } from "node:http"
import { KINDS, turn, until, type Handler } from "../../l7/backend/World.ts"
import { BEHAVIOURS } from "./Behaviours.ts"
import { ask, CLIENTS, NAMES, startSite, type Answer, type Client, type Site } from "./Combined.ts"

// Each behaviour between each client and each backend, whichever versions of HTTP they speak. What differs between
// versions, and what the proxy adds, is said here and nowhere else.

/** Exchanges that the backend has not finished. */
const running = new Set<ServerResponse>()

const handler: Handler = (request, response) => {
  running.add(response)
  response.on("close", () => running.delete(response)).on("error", () => {})
  request.on("error", () => {})
  BEHAVIOURS[request.url ?? ""]?.(request, response)
}

class Table extends Context.Service<Table, Site>()("mc-proxy/test/Table") {
  static readonly layer = Layer.effect(
    Table,
    Effect.suspend(() => startSite(handler))
  )
}

const text = ({ body }: Answer): string => body.toString()

// One proxy for the whole table: what an exchange leaves behind would be found by the next.
layer(Table.layer, { excludeTestServices: true })("between every client and every backend", (it) => {
  const each = (name: string, check: (client: Client) => Effect.Effect<void, never, Scope.Scope>) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        const site = yield* Table
        for (const connect of CLIENTS) {
          for (const kind of KINDS) {
            const client = yield* connect(site, NAMES[kind.name]!)
            yield* Effect.catchDefect(check(client), (defect) => {
              if (defect instanceof Error) defect.message = `${client.version} to ${kind.name}: ${defect.message}`
              return Effect.die(defect)
            })
          }
        }
      })
    )

  each(
    "a request and its response pass, and nothing that is for one hop",
    Effect.fnUntraced(function* (client) {
      const fields = { "x-own": "1", "x-forwarded-for": "203.0.113.9", forwarded: "for=203.0.113.9", te: "trailers" }
      const answer = yield* ask(client, { path: "/seen", fields })
      const seen = JSON.parse(text(answer)) as Readonly<Record<string, string>>
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(seen["x-own"], "1")
      assert.strictEqual(seen["te"], "trailers")
      assert.strictEqual(seen["x-forwarded-for"], "127.0.0.1")
      assert.strictEqual(seen["x-real-ip"], "127.0.0.1")
      assert.strictEqual(seen["x-forwarded-proto"], "https")
      assert.strictEqual(seen["x-forwarded-host"], seen["authority"])
      assert.notProperty(seen, "forwarded")
      for (const name of ["keep-alive", "upgrade", "x-powered-by", "server", "via"])
        assert.notProperty(answer.fields, name)
    })
  )

  each(
    "bodies stream both ways, with trailers both ways",
    Effect.fnUntraced(function* (client) {
      const body = Buffer.alloc(3_000_000, "0123456789")
      const fields = { te: "trailers", trailer: "x-in" }
      const answer = yield* ask(client, { method: "POST", path: "/echo", body, fields, trailers: { "x-in": "42" } })
      assert.isTrue(answer.isWhole)
      assert.isTrue(answer.body.equals(body))
      assert.strictEqual(answer.trailers["x-out"], "42")
    })
  )

  each(
    "a response comes while the request is still sent, part by part",
    Effect.fnUntraced(function* (client) {
      const { head, writable } = client.start({ method: "POST", path: "/echo", isOpen: true })
      const { readable } = yield* head
      let got = ""
      readable.on("data", (chunk: Buffer) => (got += chunk.toString()))
      for (const part of ["one", "two", "three"]) {
        writable.write(part)
        yield* until(() => got.endsWith(part))
      }
      writable.end()
      yield* until(() => readable.readableEnded)
      assert.strictEqual(got, "onetwothree")
    })
  )

  each(
    "a body of known length has it, and one of unknown length has none",
    Effect.fnUntraced(function* (client) {
      const body = Buffer.from("12345")
      const known = yield* ask(client, { method: "POST", path: "/count", body, fields: { "content-length": "5" } })
      assert.strictEqual(text(known), "5 5")
      assert.strictEqual(text(yield* ask(client, { method: "POST", path: "/count", body })), "unknown 5")
      const [five, unknown] = [yield* ask(client, { path: "/known" }), yield* ask(client, { path: "/unknown" })]
      assert.deepStrictEqual([text(five), five.fields["content-length"]], ["12345", "5"])
      assert.deepStrictEqual([text(unknown), unknown.fields["content-length"]], ["12345", undefined])
    })
  )

  each(
    "no body is where none can be",
    Effect.fnUntraced(function* (client) {
      const head = yield* ask(client, { method: "HEAD", path: "/known" })
      assert.deepStrictEqual([head.status, text(head), head.fields["content-length"]], [200, "", "5"])
      assert.deepInclude(yield* ask(client, { path: "/204" }), { status: 204, body: Buffer.alloc(0), isWhole: true })
      const unchanged = yield* ask(client, { path: "/304" })
      assert.deepStrictEqual([unchanged.status, text(unchanged), unchanged.fields["etag"]], [304, "", '"x"'])
      const nothing = yield* ask(client, { path: "/404" })
      assert.deepStrictEqual([nothing.status, text(nothing)], [404, "nothing"])
    })
  )

  each(
    "several fields of a name, and large ones, stay what they are",
    Effect.fnUntraced(function* (client) {
      const cookies = yield* ask(client, { path: "/cookies" })
      assert.deepStrictEqual(cookies.fields["set-cookie"], ["a=1", "b=2", "c=3"])
      const large = yield* ask(client, { path: "/large", fields: { "x-large": "z".repeat(10_000) } })
      assert.deepStrictEqual(
        [large.status, large.fields["x-seen"], large.fields["x-large"]?.length],
        [200, "10000", 30_000]
      )
    })
  )

  each(
    "interim responses pass, and `Expect: 100-continue` is the backend's to answer",
    Effect.fnUntraced(function* (client) {
      const hints = yield* ask(client, { path: "/hints" })
      assert.deepStrictEqual([hints.interim, text(hints)], [[103], "done"])
      const fields = { expect: "100-continue", "content-length": "4" }
      const { head, interim, writable } = client.start({ method: "POST", path: "/count", fields, isOpen: true })
      yield* until(() => interim.length > 0)
      writable.end("body")
      const { status } = yield* head
      assert.deepStrictEqual([interim, status], [[100], 200])
    })
  )

  each(
    "a backend that does not read slows the client",
    Effect.fnUntraced(function* (client) {
      const { cancel, head, writable } = client.start({ method: "POST", path: "/deaf", isOpen: true })
      writable.on("error", () => {})
      yield* head
      const chunk = Buffer.alloc(65_536)
      let sent = 0
      let quiet = 0
      // Takes as much as the windows and the kernel's buffers on the way do, and then no more.
      while (quiet < 200) {
        if (writable.writableLength < 65_536) {
          writable.write(chunk)
          sent += chunk.length
          quiet = 0
        } else quiet++
        assert.isBelow(sent, 60_000_000)
        yield* turn
      }
      cancel()
      // Who does not read does not see that the other side has gone.
      for (const { req } of running) req.resume()
      yield* until(() => running.size === 0)
    })
  )

  each(
    "a client that leaves is gone for the backend at once, before a response and within",
    Effect.fnUntraced(function* (client) {
      for (const path of ["/silent", "/forever"]) {
        const { cancel, head } = client.start({ path })
        if (path === "/forever") yield* head
        yield* until(() => running.size === 1)
        cancel()
        yield* until(() => running.size === 0)
      }
    })
  )

  each(
    "a response that breaks off is broken for the client",
    Effect.fnUntraced(function* (client) {
      const answer = yield* ask(client, { path: "/cut" })
      assert.deepStrictEqual([text(answer), answer.isWhole], ["half", false])
    })
  )
})
