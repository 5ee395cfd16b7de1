import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import * as fc from "fast-check"
import { apply, diff, EMPTY, type Change, type Edit } from "../../src/snapshot/Change.ts"
import { commit, load, seed } from "../../src/store/Database.ts"
import { Conflict, WriteFailed } from "../../src/store/Store.ts"
import { onDatabase, tamper, withFile } from "./Files.ts"
import { l4, l7, listenerOf, randomChange, randomState } from "./RandomState.ts"

/** Each run opens files; the properties are about SQL, whose cases are few. */
const RUNS = { numRuns: 25 }

const state = {
  listeners: [listenerOf(":443", l4("a.test"), l7("b.test", [{ type: "require_header", value: "x-key" }]))],
  firewallRules: [{ type: "cidr", value: "10.0.0.0/8" }] as const
}

describe("a database", () => {
  it.live("gives any state that filled it, or that was committed, once it is opened again", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(randomState, randomState, (first, second) =>
          Effect.runPromise(
            withFile((file) =>
              Effect.gen(function* () {
                assert.deepStrictEqual(yield* onDatabase(file, load()), {
                  seeded: false,
                  snapshot: { revision: 0, ...EMPTY }
                })
                assert.strictEqual(yield* onDatabase(file, seed(first)), 1)
                assert.deepStrictEqual(yield* onDatabase(file, load()), {
                  seeded: true,
                  snapshot: { revision: 1, ...first }
                })
                assert.strictEqual(yield* onDatabase(file, commit(1, [diff(first, EMPTY), diff(EMPTY, second)])), 3)
                assert.deepStrictEqual((yield* onDatabase(file, load())).snapshot, { revision: 3, ...second })
              })
            )
          )
        ),
        RUNS
      )
    )
  )

  it.live("equals the plain model after any changes, refused ones among them, at once and when opened again", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.array(randomChange, { maxLength: 3 }), { maxLength: 8 }), (commits) =>
          Effect.runPromise(
            withFile((file) =>
              Effect.gen(function* () {
                const expected = yield* onDatabase(file, followModel(commits))
                assert.deepStrictEqual((yield* onDatabase(file, load())).snapshot, expected)
              })
            )
          )
        ),
        RUNS
      )
    )
  )

  it.live("refuses a commit on top of another revision, and changes nothing", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(state)
          for (const expected of [0, 2]) {
            assert.deepStrictEqual(
              yield* Effect.flip(commit(expected, [diff(state, EMPTY)])),
              new Conflict({ expected, actual: 1 })
            )
          }
          assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
        })
      )
    )
  )

  it.live("undoes a change whose last edit the disk has no room for, and takes the next", () =>
    withFile((file) =>
      onDatabase(
        file,
        Effect.gen(function* () {
          yield* seed(state)
          const sql = yield* SqlClient.SqlClient
          const [pages] = yield* sql<{ readonly page_count: number }>`PRAGMA page_count`
          yield* sql`PRAGMA max_page_count = ${sql.literal(String(pages?.page_count))}`
          const rules = Array.from(
            { length: 5000 },
            (_, i) => ({ type: "ip", value: `10.0.${i >> 8}.${i & 255}` }) as const
          )
          const change: Change = [...diff(state, EMPTY), { _tag: "PutRules", rules }]
          const failed = new WriteFailed({
            problem: `${file}: cannot grow, because the disk is full; make room`,
            certain: true
          })
          assert.deepStrictEqual(yield* Effect.flip(commit(1, [change])), failed)
          assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
          assert.strictEqual(yield* commit(1, [diff(state, EMPTY)]), 2)
        })
      )
    )
  )
})

/** Makes each commit, and does the same in memory; answers where that came to. */
const followModel = Effect.fnUntraced(function* (commits: ReadonlyArray<ReadonlyArray<Change>>) {
  let model = EMPTY
  let revision = yield* seed(model)
  for (const changes of commits) {
    const answer = yield* Effect.result(commit(revision, changes))
    const expected = apply(model, changes.flat())
    assert.strictEqual(Result.isSuccess(answer), Result.isSuccess(expected))
    if (Result.isSuccess(answer) && Result.isSuccess(expected)) {
      model = expected.success
      assert.strictEqual(answer.success, revision + changes.length)
      revision = answer.success
    }
    assert.deepStrictEqual((yield* load()).snapshot, { revision, ...model })
  }
  return { revision, ...model }
})

/** Edits that no validated caller makes. */
const FORBIDDEN: ReadonlyArray<readonly [rule: string, edit: Edit]> = [
  ["a listener without a port", { _tag: "PutListener", listener: listenerOf("443") }],
  [
    "more connections than there can be",
    { _tag: "PutListener", listener: { ...listenerOf(":1"), maxConnections: 1_048_577 } }
  ],
  [
    "an upper-case hostname",
    { _tag: "PutRoute", listener: ":443", route: { ...l4("a.test"), hostname: "A.test" as never } }
  ],
  [
    "a hostname with a dot at its end",
    { _tag: "PutRoute", listener: ":443", route: { ...l4("a.test"), hostname: "a.test." as never } }
  ],
  ["a backend without a port", { _tag: "PutRoute", listener: ":443", route: l4("c.test", "c.test") }],
  ["an unknown mode", { _tag: "PutRoute", listener: ":443", route: { ...l4("c.test"), mode: "l5" as never } }],
  [
    "an L7 route without a key",
    { _tag: "PutRoute", listener: ":443", route: { ...l7("c.test"), tlsKey: "" } as never }
  ],
  [
    "a CA for a backend without TLS",
    { _tag: "PutRoute", listener: ":443", route: { ...l7("c.test"), backendCa: "/ca" } as never }
  ],
  [
    "a repeated policy",
    {
      _tag: "PutRoute",
      listener: ":443",
      route: l7("c.test", [
        { type: "require_header", value: "a" },
        { type: "require_header", value: "A" }
      ])
    }
  ],
  [
    "an empty policy",
    { _tag: "PutRoute", listener: ":443", route: l7("c.test", [{ type: "require_header", value: "" }]) }
  ],
  ["a route on a listener that is not there", { _tag: "PutRoute", listener: ":80", route: l4("c.test") }],
  ["a country in lower case", { _tag: "PutRules", rules: [{ type: "country", value: "de" }] }],
  ["a network without a length", { _tag: "PutRules", rules: [{ type: "cidr", value: "10.0.0.0" }] }],
  ["an address with a length", { _tag: "PutRules", rules: [{ type: "ip", value: "10.0.0.0/8" }] }]
]

describe("the tables", () => {
  for (const [rule, edit] of FORBIDDEN) {
    it.live(`refuse ${rule}, and the whole change with it`, () =>
      withFile((file) =>
        onDatabase(
          file,
          Effect.gen(function* () {
            yield* seed(state)
            const change: Change = [{ _tag: "RemoveRules", rules: state.firewallRules }, edit]
            const failed = yield* Effect.flip(commit(1, [change]))
            assert(failed._tag === "WriteFailed")
            assert.match(failed.message, /mc-proxy\.db: reports: .*constraint failed/)
            assert.deepStrictEqual((yield* load()).snapshot, { revision: 1, ...state })
          })
        )
      )
    )
  }
})

describe("loading", () => {
  const BAD = `
    UPDATE listeners SET addr = ':0443', trusted_proxies = '["10.0.0.1/8"]';
    UPDATE routes SET hostname = '*.test', backend = 'b:0' WHERE hostname = 'b.test';
    INSERT INTO l7_policies (route_id, position, type, value) VALUES (1, 0, 'require_header', 'a b');
    INSERT INTO routes (listener_id, hostname, backend, mode, send_proxy_protocol) VALUES (9, 'c.test', 'c:1', 'l4', 0);
    INSERT INTO firewall_rules (type, value) VALUES ('cidr', '10.0.0.1/8'), ('country', 'd');`

  it.live("names every bad row, and what is wrong with it", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(state))
        yield* tamper(file, BAD)
        const error = yield* Effect.flip(onDatabase(file, load()))
        assert(error._tag === "DatabaseError")
        assert.sameMembers(
          error.problems.map(({ message, path }) => `${path}: ${message}`),
          [
            'listeners row 1: addr: ":0443" is not in canonical form; write ":443"',
            'listeners row 1: trusted_proxies: "10.0.0.1/8" has host bits set beyond /8',
            'routes row 2: hostname: "*.test" has a wildcard',
            'routes row 2: backend: "b:0" has a port outside 1 to 65535',
            'l7_policies row 2: value: "a b" is no header name',
            "routes row 3: listener_id: 9 is no row of listeners",
            'firewall_rules row 2: value: "10.0.0.1/8" has host bits set beyond /8',
            'firewall_rules row 3: value: "d" is not two upper-case letters'
          ]
        )
      })
    )
  )

  it.live("refuses a policy of an L4 route, which would be passed over", () =>
    withFile((file) =>
      Effect.gen(function* () {
        yield* onDatabase(file, seed(state))
        yield* tamper(
          file,
          "INSERT INTO l7_policies (route_id, position, type, value) VALUES (1, 0, 'require_header', 'a')"
        )
        const error = yield* Effect.flip(onDatabase(file, load()))
        assert.strictEqual(error.message, `${file}: routes row 1: is no L7 route, but has policies`)
      })
    )
  )
})
