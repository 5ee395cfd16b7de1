/** What one config is read from, and where its problems go: handed down to every reader of a part. */
import type { TomlTable } from "smol-toml"
import type { Environment } from "./Environment.ts"
import type { Report } from "./Report.ts"

export interface Source {
  readonly document: TomlTable
  /** The tables that are left out and that an unknown key seems to mean: that is one mistake, and reported. */
  readonly misspelt: ReadonlySet<string>
  readonly environment: Environment
  /** Makes a path absolute against the config file's folder. */
  readonly resolvePath: (path: string) => string
  readonly report: Report
}

/** A path that may be empty, for none. */
export const resolveOrNone = ({ resolvePath }: Source, path: string): string => (path === "" ? "" : resolvePath(path))
