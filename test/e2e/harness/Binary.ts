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

/** The path of the program of a checkout, once it is known to be current. */
export const builtBinary = (root = ROOT): string => {
  const binary = join(root, "dist", "bin", "mc-proxy.js")
  const built = statSync(binary, { throwIfNoEntry: false })
  if (built === undefined) throw new Error(`${binary} is missing; run npm run build`)
  const newer = filesIn(join(root, "src")).find((file) => statSync(file).mtimeMs > built.mtimeMs)
  if (newer !== undefined) throw new Error(`${binary} is older than ${newer}; run npm run build`)
  return binary
}

const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
