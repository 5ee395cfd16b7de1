/** The inputs that are checked in: `corpus/TARGET/`, a file each. Those that the fuzzer wrote are called by their hash. */
import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Target } from "./Target.ts"

const folderOf = ({ name }: Target): string => fileURLToPath(new URL(`corpus/${name}/`, import.meta.url))

export const readCorpus = (target: Target): ReadonlyMap<string, Uint8Array> => {
  const folder = folderOf(target)
  return new Map(
    readdirSync(folder)
      .toSorted()
      .map((file) => [file, Uint8Array.from(readFileSync(folder + file))])
  )
}

/** Returns the file's path. */
export const writeInput = (target: Target, bytes: Uint8Array): string => {
  const file = folderOf(target) + createHash("sha256").update(bytes).digest("hex").slice(0, 12)
  mkdirSync(folderOf(target), { recursive: true })
  writeFileSync(file, bytes)
  return file
}
