import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import { hello } from "../harness/Hello.ts"
import { startProxy } from "../harness/Proxy.ts"
import { Watch } from "../harness/Watch.ts"
import { connect } from "../harness/Wire.ts"
import { startTcpServer } from "./TcpServer.ts"

const TRANSFERS = 50

/** Of these, still without their whole hello when the signal comes. */
const LATE = 10

const HELLO = hello("a.test")
const CONTENT = randomBytes(512 * 1024)

/** What each side has sent, and the other received, when the signal comes. */
const BEGUN = CONTENT.length / 2

it.live("at SIGTERM completes 50 transfers byte-exact, refuses new clients, and exits 0", () =>
  Effect.gen(function* () {
    const backend = yield* startHalvingBackend
    const proxy = yield* startProxy({ listeners: [{ routes: [{ hostname: "a.test", backend: backend.address }] }] })
    const address = proxy.address
    const clients = yield* Effect.forEach(Array.from({ length: TRANSFERS }), () => connect(address))
    const flowing = clients.slice(LATE)
    const late = clients.slice(0, LATE)
    yield* forAll(late, (client) => client.send(HELLO.subarray(0, 30)))
    yield* forAll(flowing, (client) => client.send(Buffer.concat([HELLO, CONTENT.subarray(0, BEGUN)])))
    yield* forAll(flowing, (client) => client.received(BEGUN))
    yield* backend.has(flowing.length * (HELLO.length + BEGUN))

    proxy.signal("SIGTERM")
    assert.strictEqual((yield* proxy.logged("draining"))["connections"], TRANSFERS)
    assert.strictEqual((yield* Effect.flip(connect(address))).code, "ECONNREFUSED")
    backend.goOn()
    yield* forAll(late, (client) => client.send(Buffer.concat([HELLO.subarray(30), CONTENT])))
    yield* forAll(flowing, (client) => client.send(CONTENT.subarray(BEGUN)))
    for (const client of clients) client.finish()

    assert.deepStrictEqual(yield* proxy.ended, { code: 0, signal: null })
    for (const client of clients) {
      assert.strictEqual(yield* client.ended, "fin")
      assert.isTrue(client.bytes.equals(CONTENT))
    }
    const whole = Buffer.concat([HELLO, CONTENT])
    assert.strictEqual(backend.received.length, TRANSFERS)
    for (const received of backend.received) assert.isTrue(received.equals(whole))
    assert.deepStrictEqual(
      proxy.accessLines.map(({ outcome, from_client, from_backend }) => [outcome, from_client, from_backend]),
      Array.from({ length: TRANSFERS }, () => ["done", whole.length, CONTENT.length])
    )
  })
)

const forAll = <A>(items: ReadonlyArray<A>, act: (item: A) => Effect.Effect<unknown>) =>
  Effect.forEach(items, act, { concurrency: "unbounded", discard: true })

/** Sends each client half of the content at once and the other half, with FIN, when told to go on. */
const startHalvingBackend = Effect.gen(function* () {
  const waiting: Array<Socket> = []
  const received: Array<Buffer> = []
  const watch = new Watch()
  let goesOn = false
  let bytes = 0
  const sendRest = (socket: Socket) => socket.end(CONTENT.subarray(BEGUN))
  const address = yield* startTcpServer((socket) => {
    const chunks: Array<Buffer> = []
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      watch.notify()
    })
    socket.once("end", () => received.push(Buffer.concat(chunks)))
    socket.write(CONTENT.subarray(0, BEGUN))
    if (goesOn) sendRest(socket)
    else waiting.push(socket)
  })
  return {
    address,
    /** What each client has sent, when it has finished. */
    received,
    /** Waits until so many bytes have come from all clients together. */
    has: (count: number) => watch.until(`${count} bytes at the backend`, () => bytes >= count || undefined),
    goOn: () => {
      goesOn = true
      for (const socket of waiting.splice(0)) sendRest(socket)
    }
  }
})
