/**
 * What in a request does not fit its schema, in words: each field by its name in the `.proto` file, its value, and the
 * rule. A caller has that file before him, not the JSON names that the schemas use.
 */
import type { DescMessage, JsonValue } from "@bufbuild/protobuf"
import { SchemaIssue } from "effect"
import { showText } from "../../config/Printable.ts"

/** One line a problem; `json` is what was decoded. */
export const describeMisfit = (message: DescMessage, json: JsonValue, issue: SchemaIssue.Issue): string => {
  const { issues } = problemsOf(issue)
  const shown = issues.slice(0, PROBLEMS_SHOWN_MAX).map((problem) => {
    const path = problem.path ?? []
    const value = valueAt(json, path)
    // The rule of a value that is not there could only repeat that.
    const rule = value === undefined ? "is missing" : `${show(value)} ${problem.message}`
    return `${protoPath(message, path)}: ${rule}`
  })
  const more = issues.length - shown.length
  return [...shown, ...(more > 0 ? [`and ${more} more problems`] : [])].join("\n")
}

const problemsOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** A gRPC status travels in a header, which clients bound to 8 KiB. */
const PROBLEMS_SHOWN_MAX = 20

type Path = NonNullable<ReturnType<typeof problemsOf>["issues"][number]["path"]>

const keyOf = (part: Path[number]): PropertyKey => (typeof part === "object" ? part.key : part)

/** `listeners[0].routes[1].backend_protocol` */
const protoPath = (message: DescMessage, path: Path): string => {
  let shown = ""
  let at: DescMessage | undefined = message
  for (const part of path) {
    const key = keyOf(part)
    if (typeof key === "number") {
      shown += `[${key}]`
      continue
    }
    const field: DescMessage["fields"][number] | undefined = at?.fields.find(({ jsonName }) => jsonName === key)
    shown += `${shown === "" ? "" : "."}${field?.name ?? String(key)}`
    at = field?.message
  }
  return shown
}

const valueAt = (json: JsonValue, path: Path): JsonValue | undefined => {
  let value: JsonValue | undefined = json
  for (const part of path) {
    const key = keyOf(part)
    if (Array.isArray(value)) value = value[Number(key)]
    else if (typeof value === "object" && value !== null) value = value[String(key)]
    else return undefined
  }
  return value
}

const show = (value: JsonValue): string => (typeof value === "string" ? showText(value) : JSON.stringify(value))
