import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { startBackend } from "./harness/Backend.ts"
import { builtBinary } from "./harness/Binary.ts"
import { temporaryFolder } from "./harness/Folder.ts"
import { hello } from "./harness/Hello.ts"
import { startProgram } from "./harness/Program.ts"
import { type Proxy, startProxy, tomlOf } from "./harness/Proxy.ts"
import { within } from "./harness/Watch.ts"
import { connect } from "./harness/Wire.ts"

const HELLO = hello("a.test")

/** Every key of an access line, in its order. */
const KEYS = [
  ...["time", "id", "listener", "client", "peer", "country", "hostname", "backend", "mode", "outcome", "rule"],
  ...["from_client", "from_backend", "duration_ms", "dial_ms"]
]

it.live("writes every access key in its order, as JSON", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}] })
    const client = yield* connect(proxy.address)
    client.finish()
    yield* proxy.accessOf(client)
    const line = proxy.program.stderr.split("\n").find((text) => text.includes('"outcome"'))
    assert.deepStrictEqual(Object.keys(JSON.parse(line!) as object), KEYS)
  })
)

it.live("writes every access key in its order, as text, and lets no client forge a line", () =>
  Effect.gen(function* () {
    const backend = yield* startBackend()
    const file = join(yield* temporaryFolder, "mc-proxy.toml")
    const routes = [{ hostname: "a.test", backend: backend.address }]
    writeFileSync(file, tomlOf({ listeners: [{ proxy_protocol: true, routes }] }))
    const env = { MCPROXY_LOG_FORMAT: "text" }
    const program = yield* startProgram(process.execPath, [builtBinary(), "server", "-c", file], { env })
    const address = yield* program.watch.until("where it listens", () =>
      program.stderr.includes(" ready ") ? /address=(\S+)/.exec(program.stderr)?.[1] : undefined
    )
    const accessLines = (count: number) =>
      program.watch.until(`${count} access lines`, () => {
        const lines = program.stderr.split("\n").filter((text) => text.includes("outcome="))
        return lines.length >= count ? lines : undefined
      })

    const forged = "\r\n2026-01-01T00:00:00.000Z ACCESS id=forged outcome=done\r\n\u001b[2J"
    for (const bytes of [hello(`a${forged}`), Buffer.from(forged), hello(`a.test outcome=done`)]) {
      const client = yield* connect(address)
      yield* client.send("PROXY UNKNOWN forged\n outcome=done \u001b[2J\r\n")
      yield* client.send(bytes)
      yield* client.ended
    }
    const client = yield* connect(address)
    yield* client.send("PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r\n")
    yield* client.send(HELLO)
    const inner = yield* backend.next
    client.finish()
    inner.finish()

    const fields = (yield* accessLines(4)).map((line) =>
      Array.from(line.matchAll(/(?: |^)([a-z_]+)=(\S*)/g), ([, key, value]) => [key!, value!] as const)
    )
    for (const line of fields) {
      assert.deepStrictEqual(
        line.map(([key]) => key),
        KEYS
      )
    }
    const records = fields.map((line) => new Map(line))
    assert.deepStrictEqual(
      records.map((record) => record.get("outcome")),
      ["no_sni", "not_tls", "no_sni", "done"]
    )
    assert.notMatch(program.stderr.replaceAll("\n", ""), /forged|\p{Cc}/u)
    const last = records[3]!
    assert.match(
      ["time", "id", "duration_ms", "dial_ms"].map((key) => last.get(key)).join(" "),
      /^\S+Z \S+ [\d.]+ [\d.]+$/
    )
    for (const key of ["time", "id", "duration_ms", "dial_ms"]) last.delete(key)
    assert.deepStrictEqual(Object.fromEntries(last), {
      listener: "127.0.0.1:0",
      client: "198.51.100.7:5000",
      peer: client.local,
      country: "",
      hostname: "a.test",
      backend: backend.address,
      mode: "l4",
      outcome: "done",
      rule: "",
      from_client: String(HELLO.length),
      from_backend: "0"
    })
  })
)

it.live("writes no access line when it shall not", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy({ listeners: [{}], log: { access: false } })
    const client = yield* connect(proxy.address)
    client.finish()
    assert.strictEqual(yield* client.ended, "reset")
    assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    assert.lengthOf(proxy.accessLines, 0)
  })
)

/** A client that is blocked, which costs a line and little else. */
const visit = Effect.fnUntraced(function* (proxy: Proxy) {
  const client = yield* connect(proxy.address, { from: "127.0.0.66" })
  assert.strictEqual(yield* client.ended, "reset")
}, Effect.scoped)

const visits = (proxy: Proxy, count: number) =>
  Effect.forEach(Array.from({ length: count }), () => visit(proxy), { concurrency: 50, discard: true })

const BLOCKING = { listeners: [{}], firewall: { blocked_ips: ["127.0.0.66"] } }

it.live.each([true, false])(
  "goes on serving when the reader of its log is gone (a pipe: %s), and exits 0",
  (stderrPipe) =>
    Effect.gen(function* () {
      const proxy = yield* startProxy(BLOCKING, { stderrPipe })
      yield* visits(proxy, 1)
      yield* proxy.access()
      proxy.program.stderrReader.destroy()
      yield* visits(proxy, 200)
      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
    })
)

it.live.each([true, false])(
  "serves everyone while the reader of its log stalls (a pipe: %s), and loses no line untold",
  (stderrPipe) =>
    Effect.gen(function* () {
      const proxy = yield* startProxy(BLOCKING, { stderrPipe })
      proxy.program.stderrReader.pause()
      yield* visits(proxy, VISITS)
      assert.isBelow(proxy.program.stderr.length, VISITS * LINE_LENGTH_MIN)
      proxy.program.stderrReader.resume()
      assert.deepStrictEqual(yield* proxy.stop(), { code: 0, signal: null })
      const lost = proxy.logLines.flatMap(({ message }) => /^(\d+) log lines dropped$/.exec(message)?.[1] ?? [])
      assert.strictEqual(
        lost.reduce((sum, count) => sum + Number(count), proxy.accessLines.length),
        VISITS
      )
    })
)

it.live("exits 0 although the reader of its log has stalled", () =>
  Effect.gen(function* () {
    const proxy = yield* startProxy(BLOCKING, { stderrPipe: true })
    proxy.program.stderrReader.pause()
    yield* visits(proxy, VISITS)
    const exited = Effect.callback<number | null>((resume) => {
      proxy.program.process.once("exit", (code) => resume(Effect.succeed(code)))
      proxy.signal("SIGTERM")
    })
    assert.strictEqual(yield* within("the exit")(exited), 0)
  })
)

/** Their lines are more than a pipe or a socket and its reader hold, a quarter of a mebibyte. */
const VISITS = 2000
const LINE_LENGTH_MIN = 200
