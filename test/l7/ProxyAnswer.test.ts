import { assert, it } from "@effect/vitest"
import { Buffer } from "node:buffer"
import { fieldOf } from "../../src/l7/Fields.ts"
import { isGrpc, proxyAnswer, type ProxyStatus } from "../../src/l7/ProxyAnswer.ts"

const STATUSES: ReadonlyArray<ProxyStatus> = [400, 403, 405, 408, 421, 431, 501, 502, 504]
const GRPC = ["content-type", "application/grpc+proto"]

it("answers with a short plain body that names nobody", () => {
  for (const status of STATUSES) {
    const { body, code, fields, status: sent } = proxyAnswer(status, ["content-type", "application/json"])
    assert.deepStrictEqual([sent, code], [status, status])
    assert.strictEqual(fieldOf(fields, "content-type"), "text/plain")
    assert.strictEqual(fieldOf(fields, "content-length"), String(Buffer.byteLength(body)))
    assert.isBelow(body.length, 64)
    assert.notMatch(body + fields.join(), /mc-proxy|node|server|[0-9.]+:[0-9]+/i)
  }
})

it("tells whom 405 refuses which methods there are", () => {
  assert.include(fieldOf(proxyAnswer(405).fields, "allow"), "GET")
})

it("answers a gRPC call that no backend took in trailers alone, counted as what it stands for", () => {
  for (const status of [502, 504] as const) {
    const { body, code, fields, status: sent } = proxyAnswer(status, GRPC)
    assert.deepStrictEqual([sent, code, body], [200, status, ""])
    assert.strictEqual(fieldOf(fields, "content-type"), "application/grpc")
    assert.strictEqual(fieldOf(fields, "grpc-status"), "14")
    assert.match(fieldOf(fields, "grpc-message") ?? "", /^[a-z ]+$/)
  }
})

it("answers a gRPC call that is refused for itself like any request", () => {
  for (const status of [400, 403, 421, 431, 501] as const) {
    assert.strictEqual(proxyAnswer(status, GRPC), proxyAnswer(status))
  }
})

it("knows gRPC by its content type", () => {
  for (const type of [
    "application/grpc",
    "Application/gRPC",
    "application/grpc+json",
    "application/grpc;charset=utf-8"
  ]) {
    assert.isTrue(isGrpc(["content-type", type]), type)
  }
  for (const type of ["application/grpc-web", "application/grpc-web+proto", "application/grpcx", "text/plain", ""]) {
    assert.isFalse(isGrpc(["content-type", type]), type)
  }
  assert.isFalse(isGrpc(["x-content-type", "application/grpc"]))
})
