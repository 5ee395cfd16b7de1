/**
 * The built program that these tests run: `dist/bin/mc-proxy.js`.
 *
 * They build nothing themselves, for several run at once; instead a `dist` that is missing or older than `src` stops
 * them before they test something else than what is in the checkout.
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The checkout. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url))

const BINARY = join(ROOT, "dist", "bin", "mc-proxy.js")

/** The path of the program, once it is known to be current. */
export const builtBinary = (): string => {
  const built = statSync(BINARY, { throwIfNoEntry: false })
  if (built === undefined) throw new Error(`${BINARY} is missing; run npm run build`)
  const newer = sources().find((file) => statSync(file).mtimeMs > built.mtimeMs)
  if (newer !== undefined) throw new Error(`${BINARY} is older than ${newer}; run npm run build`)
  return BINARY
}

const sources = (): ReadonlyArray<string> =>
  readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
