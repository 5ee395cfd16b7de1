import { createFileRegistry, fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { Effect, Schema } from "effect"
import { connectClient, converse, type Fields, methodOf } from "./StockClient.ts"
import { startStub } from "./Stub.ts"

const ADMIN = "mc_proxy/v1/admin.proto"
const IMPORTS = ["google/protobuf/duration.proto", "google/protobuf/timestamp.proto"]

const ask = Effect.fnUntraced(function* (version: string, questions: ReadonlyArray<Fields>) {
  const { socket } = yield* startStub({})
  const method = methodOf(`grpc.reflection.${version}.ServerReflection`, "ServerReflectionInfo")
  return yield* converse(yield* connectClient(socket), method, questions)
})

const FileAnswer = Schema.Struct({
  file_descriptor_response: Schema.Struct({ file_descriptor_proto: Schema.Array(Schema.Uint8Array) })
})

const filesIn = (answer: Fields | undefined) =>
  Schema.decodeUnknownSync(FileAnswer)(answer).file_descriptor_response.file_descriptor_proto.map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes)
  )

const namesIn = (answer: Fields | undefined) => filesIn(answer).map(({ name }) => name)

for (const version of ["v1", "v1alpha"]) {
  describe(`reflection ${version}`, () => {
    it.live("lists the services", () =>
      Effect.gen(function* () {
        const [answer] = yield* ask(version, [{ host: "h", list_services: "*" }])
        const service = [
          "mc_proxy.v1.ProxyAdminService",
          "grpc.health.v1.Health",
          "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection"
        ].map((name) => ({ name }))
        assert.deepInclude(answer, { valid_host: "h", list_services_response: { service } })
        assert.deepInclude(answer?.["original_request"], { host: "h", list_services: "*" })
      })
    )

    it.live("gives a file with all that it imports, from which a client learns every method", () =>
      Effect.gen(function* () {
        const [answer] = yield* ask(version, [{ file_by_filename: ADMIN }])
        assert.deepStrictEqual(namesIn(answer), [ADMIN, ...IMPORTS])
        const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: filesIn(answer).reverse() }))
        const service = registry.getService("mc_proxy.v1.ProxyAdminService")
        assert.strictEqual(service?.methods.length, 23)
        assert.strictEqual(service?.method["getStatus"]?.output.field["startedAt"]?.message?.name, "Timestamp")
      })
    )

    it.live("finds the file of every kind of symbol", () =>
      Effect.gen(function* () {
        const symbols = [
          "mc_proxy.v1.ProxyAdminService",
          "mc_proxy.v1.ProxyAdminService.GetStatus",
          "mc_proxy.v1.Route",
          "mc_proxy.v1.Route.hostname",
          "mc_proxy.v1.RouteMode",
          "mc_proxy.v1.ROUTE_MODE_L4",
          "mc_proxy.v1.WatchConnectionsResponse.Event",
          "mc_proxy.v1.WatchConnectionsResponse.EVENT_OPENED"
        ]
        const answers = yield* ask(version, [
          ...symbols.map((symbol) => ({ file_containing_symbol: symbol })),
          { file_containing_symbol: "google.protobuf.Timestamp" },
          { file_containing_symbol: `grpc.reflection.${version}.ServerReflectionRequest.message_request` }
        ])
        for (const answer of answers.slice(0, symbols.length)) assert.deepStrictEqual(namesIn(answer)[0], ADMIN)
        assert.deepStrictEqual(answers.slice(symbols.length).map(namesIn), [
          ["google/protobuf/timestamp.proto"],
          [`grpc/reflection/${version}/reflection.proto`]
        ])
      })
    )

    it.live("answers with an error what is not there, and goes on", () =>
      Effect.gen(function* () {
        const answers = yield* ask(version, [
          { file_by_filename: "a.proto" },
          { file_containing_symbol: "mc_proxy.v1.Nothing" },
          { file_containing_extension: { containing_type: "mc_proxy.v1.Route", extension_number: 1000 } },
          { all_extension_numbers_of_type: "mc_proxy.v1.Nothing" },
          { host: "nothing asked" },
          { all_extension_numbers_of_type: "mc_proxy.v1.Route" }
        ])
        const errors = answers.map(({ error_response }) => error_response)
        assert.deepStrictEqual(errors, [
          { error_code: status.NOT_FOUND, error_message: "there is no a.proto" },
          { error_code: status.NOT_FOUND, error_message: "there is no mc_proxy.v1.Nothing" },
          { error_code: status.NOT_FOUND, error_message: "there are no extensions" },
          { error_code: status.NOT_FOUND, error_message: "there is no mc_proxy.v1.Nothing" },
          { error_code: status.INVALID_ARGUMENT, error_message: "message_request: is missing" },
          undefined
        ])
        const none = { base_type_name: "mc_proxy.v1.Route", extension_number: [] }
        assert.deepInclude(answers[5], { all_extension_numbers_response: none })
      })
    )
  })
}
