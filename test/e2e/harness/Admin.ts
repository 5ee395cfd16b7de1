/** The admin API as a stock gRPC client and as curl ask it. Fields have the names of the proto file. */
import type { ServiceError } from "@grpc/grpc-js"
import { status as Status } from "@grpc/grpc-js"
import { Effect, Exit, type Scope } from "effect"
import { adminMethod, callUnary, connectClient, type Fields } from "../../admin/grpc/StockClient.ts"
import { runProgram } from "./Program.ts"
import type { Proxy } from "./Proxy.ts"

/** An operation was refused: with a status such as `NOT_FOUND`. */
export interface Refused {
  readonly status: string
  readonly message: string
}

export type Ask = (method: string, request?: Fields) => Effect.Effect<Fields, Refused>

/** Asks by gRPC; the scope owns the connection. Answers have every field. */
export const grpcAdmin = (proxy: Proxy): Effect.Effect<Ask, never, Scope.Scope> =>
  Effect.map(
    connectClient(proxy.adminSocket),
    (client): Ask =>
      (method, request = {}) =>
        Effect.mapError(callUnary(client, adminMethod(method), request), ({ code, details }: ServiceError) => ({
          status: Status[code] ?? String(code),
          message: details
        }))
  )

/** Asks as a person does: by curl, with JSON. Answers have the fields that are not at their default. */
export const curlAdmin =
  (proxy: Proxy): Ask =>
  (method, request = {}) =>
    Effect.scoped(
      Effect.flatMap(
        runProgram("curl", [
          ...["--silent", "--show-error", "--max-time", "20", "--unix-socket", proxy.adminSocket],
          ...["--header", "content-type: application/json", "--data", JSON.stringify(request)],
          ...["--write-out", "\n%{http_code}", `http://localhost/mc_proxy.v1.ProxyAdminService/${method}`]
        ]),
        ({ stderr, stdout }) => {
          const [body = "", code] = stdout.split("\n")
          if (body === "") return Effect.die(new Error(`curl has no answer: ${stderr}`))
          const answer = inSnakeCase(JSON.parse(body)) as Fields
          if (code === "200") return Exit.succeed(answer)
          return Exit.fail({ status: String(answer["code"]).toUpperCase(), message: String(answer["message"]) })
        }
      )
    )

/** Proto3 JSON has names in camel case. */
const inSnakeCase = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inSnakeCase)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      inSnakeCase(field)
    ])
  )
}
