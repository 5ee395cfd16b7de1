/**
 * `grpc.reflection.v1`, and `v1alpha` for older clients: tells the files and services of the admin socket, so that
 * `grpcurl` and the like need no `.proto` file. There are no extensions. A question is answered by itself, with every
 * file that the one asked for imports.
 */
import { type DescEnum, type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import { Code, type ConnectRouter } from "@connectrpc/connect"
import { file_grpc_health_v1_health } from "./gen/grpc/health/v1/health_pb.ts"
import {
  file_grpc_reflection_v1_reflection,
  ServerReflection,
  type ServerReflectionRequest
} from "./gen/grpc/reflection/v1/reflection_pb.ts"
import {
  file_grpc_reflection_v1alpha_reflection,
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha
} from "./gen/grpc/reflection/v1alpha/reflection_pb.ts"
import { file_mc_proxy_v1_admin } from "./gen/mc_proxy/v1/admin_pb.ts"

/** Registers both versions with a router. */
export const register = (router: ConnectRouter): void => {
  router.service(ServerReflection, {
    serverReflectionInfo: async function* (questions) {
      for await (const question of questions) yield { ...answer(question), originalRequest: question }
    }
  })
  router.service(ServerReflectionAlpha, {
    serverReflectionInfo: async function* (questions) {
      for await (const question of questions) yield { ...answer(question), originalRequest: question }
    }
  })
}

/** The two versions have the same fields. */
type Question = ServerReflectionRequest | ServerReflectionRequestAlpha

const answer = ({ host, messageRequest }: Question) => ({
  validHost: host,
  messageResponse: answerTo(messageRequest)
})

const answerTo = (question: Question["messageRequest"]) => {
  switch (question.case) {
    case "fileByFilename":
      return fileAnswer(FILES.get(question.value), question.value)
    case "fileContainingSymbol":
      return fileAnswer(SYMBOLS.get(question.value), question.value)
    case "fileContainingExtension":
      return refusal(Code.NotFound, "there are no extensions")
    case "allExtensionNumbersOfType":
      return SYMBOLS.has(question.value)
        ? { case: "allExtensionNumbersResponse" as const, value: { baseTypeName: question.value } }
        : refusal(Code.NotFound, `there is no ${question.value}`)
    case "listServices":
      return { case: "listServicesResponse" as const, value: { service: SERVICES } }
    case undefined:
      return refusal(Code.InvalidArgument, "message_request: is missing")
  }
}

const refusal = (errorCode: Code, errorMessage: string) => ({
  case: "errorResponse" as const,
  value: { errorCode, errorMessage }
})

const fileAnswer = (file: DescFile | undefined, name: string) =>
  file === undefined
    ? refusal(Code.NotFound, `there is no ${name}`)
    : { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto: [...withImports(file)].map(encode) } }

const encode = (file: DescFile) => toBinary(FileDescriptorProtoSchema, file.proto)

/** The file first. */
const withImports = (file: DescFile, seen = new Set<DescFile>()): ReadonlySet<DescFile> => {
  seen.add(file)
  for (const imported of file.dependencies) if (!seen.has(imported)) withImports(imported, seen)
  return seen
}

const SERVED = [
  file_mc_proxy_v1_admin,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection
]

const KNOWN = [...new Set(SERVED.flatMap((file) => [...withImports(file)]))]

/** By name as `import` has it. */
const FILES: ReadonlyMap<string, DescFile> = new Map(KNOWN.map((file) => [`${file.name}.proto`, file]))

const SERVICES = SERVED.flatMap((file) => file.services.map(({ typeName }) => ({ name: typeName })))

/** Every full name that a file declares. The values of an enum belong to the scope that the enum is in. */
const symbolsOf = function* (file: DescFile): Generator<string> {
  for (const message of file.messages) yield* messageSymbols(message)
  for (const enumeration of file.enums) yield* enumSymbols(enumeration)
  for (const { methods, typeName } of file.services) {
    yield typeName
    for (const { name } of methods) yield `${typeName}.${name}`
  }
}

const messageSymbols = function* (message: DescMessage): Generator<string> {
  yield message.typeName
  for (const { name } of [...message.fields, ...message.oneofs]) yield `${message.typeName}.${name}`
  for (const nested of message.nestedMessages) yield* messageSymbols(nested)
  for (const nested of message.nestedEnums) yield* enumSymbols(nested)
}

const enumSymbols = function* ({ typeName, values }: DescEnum): Generator<string> {
  yield typeName
  const scope = typeName.slice(0, typeName.lastIndexOf("."))
  for (const { name } of values) yield `${scope}.${name}`
}

const SYMBOLS: ReadonlyMap<string, DescFile> = new Map(
  KNOWN.flatMap((file) => [...symbolsOf(file)].map((symbol) => [symbol, file] as const))
)
