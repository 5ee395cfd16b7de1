// Generates the TypeScript of the protobuf services into src/admin/grpc/gen. With --check nothing is written, and it
// fails when the checked-in code is not what protoc makes of the .proto files.
import { create, toBinary } from "@bufbuild/protobuf"
import {
  file_google_protobuf_duration,
  file_google_protobuf_timestamp,
  FileDescriptorSetSchema
} from "@bufbuild/protobuf/wkt"
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const PROTO_FOLDER = "proto"
const GENERATED_FOLDER = "src/admin/grpc/gen"
const PLUGIN = "node_modules/.bin/protoc-gen-es"
const PLUGIN_OPTIONS = "target=ts,import_extension=ts,erasable_syntax=true"

const filesUnder = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()

/** protoc does not come with Google's own files everywhere, and the runtime that the generated code uses has them. */
const writeWellKnownTypes = (path: string) => {
  const file = [file_google_protobuf_duration, file_google_protobuf_timestamp].map((known) => known.proto)
  writeFileSync(path, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })))
}

/** Says what was wrong. */
const generateInto = (folder: string): string | undefined => {
  const wellKnown = join(folder, "well-known.bin")
  writeWellKnownTypes(wellKnown)
  const protoc = spawnSync(
    "protoc",
    [
      `--plugin=protoc-gen-es=${PLUGIN}`,
      `--proto_path=${PROTO_FOLDER}`,
      `--descriptor_set_in=${wellKnown}`,
      `--es_opt=${PLUGIN_OPTIONS}`,
      `--es_out=${folder}`,
      ...filesUnder(PROTO_FOLDER)
    ],
    { encoding: "utf8" }
  )
  rmSync(wellKnown)
  if (protoc.error !== undefined) return `cannot run protoc (Debian: protobuf-compiler): ${protoc.error.message}`
  return protoc.status === 0 ? undefined : protoc.stderr.trim()
}

/** The files whose text differs, or that one of the two folders lacks. */
const differences = (left: string, right: string): ReadonlyArray<string> => {
  const textOf = (folder: string) => new Map(filesUnder(folder).map((file) => [file, readFileSync(join(folder, file))]))
  const [ours, theirs] = [textOf(left), textOf(right)]
  const files = new Set([...ours.keys(), ...theirs.keys()])
  return [...files].filter((file) => !(ours.get(file)?.equals(theirs.get(file) ?? Buffer.of()) ?? false)).sort()
}

const main = (folder: string): string | undefined => {
  const problem = generateInto(folder)
  if (problem !== undefined) return problem
  if (process.argv.includes("--check")) {
    const stale = differences(GENERATED_FOLDER, folder)
    return stale.length === 0
      ? undefined
      : `not what protoc makes: ${stale.join(", ")} in ${GENERATED_FOLDER}; run npm run generate`
  }
  rmSync(GENERATED_FOLDER, { recursive: true, force: true })
  for (const file of filesUnder(folder)) cpSync(join(folder, file), join(GENERATED_FOLDER, file))
  return undefined
}

const folder = mkdtempSync(join(tmpdir(), "mc-proxy-generate-"))
try {
  const problem = main(folder)
  if (problem !== undefined) {
    console.error(`generate: ${problem}`)
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
