/** What a program of its own on `node:sqlite` would do, with the store's promise, to compare its commits with. */
import { Effect, type Scope } from "effect"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import type { FirewallRule } from "../src/snapshot/FirewallRule.ts"

export class RawCommits {
  readonly #insert: StatementSync
  readonly #remove: StatementSync

  private constructor(connection: DatabaseSync) {
    this.#insert = connection.prepare("INSERT INTO firewall_rules (type, value) VALUES (?, ?)")
    this.#remove = connection.prepare("DELETE FROM firewall_rules WHERE type = ? AND value = ?")
  }

  /** On a copy of the store's database, which the scope closes. */
  static open(file: string): Effect.Effect<RawCommits, never, Scope.Scope> {
    const opened = Effect.acquireRelease(
      Effect.sync(() => {
        const connection = new DatabaseSync(file)
        connection.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        return connection
      }),
      (connection) => Effect.sync(() => connection.close())
    )
    return Effect.map(opened, (connection) => new RawCommits(connection))
  }

  /** A commit each. */
  add(rules: ReadonlyArray<FirewallRule>): void {
    for (const { type, value } of rules) this.#insert.run(type, value)
  }

  remove(rules: ReadonlyArray<FirewallRule>): void {
    for (const { type, value } of rules) this.#remove.run(type, value)
  }
}
