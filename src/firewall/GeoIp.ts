/**
 * The country of an address, from a MaxMind DB in memory.
 *
 * A database is read as a whole and checked before it is used, and replaced in one step: a look-up sees the old one or
 * the new one, and a bad new one changes nothing. An address whose country is not known has none (""), for whatever
 * reason; rules by country then do not block it. The file is opened only to be read, at the start and by `reload`.
 */
import { ByteSize, Context, Effect, FileSystem, Layer, Result, Schema, Semaphore } from "effect"
import type { PlatformError } from "effect/PlatformError"
import type { IpAddress } from "../net/IpAddress.ts"
import { openMmdb, type CountryRecord } from "./MmdbCheck.ts"
import { COUNTRY_CODE } from "../snapshot/FirewallRule.ts"

export class GeoIp extends Context.Service<
  GeoIp,
  {
    /** ISO 3166-1 alpha-2; "" when there is no database, it has none for the address, or the look-up failed. */
    country(ip: IpAddress): string
    /** Reads the file again and answers its path; `undefined` without a database. On failure the old one stays. */
    readonly reload: Effect.Effect<string | undefined, GeoIpError>
    /** Look-ups that failed since the start. No database that passed the check should have any. */
    readonly lookupFailures: number
    /** When the database was built, in seconds of Unix time; `undefined` without one. */
    readonly builtAtSeconds: number | undefined
  }
>()("mc-proxy/firewall/GeoIp") {
  /** The database at `path`, which must load; "": none. */
  static layer(path: string): Layer.Layer<GeoIp, GeoIpError, FileSystem.FileSystem> {
    return path === "" ? GeoIp.layerTable(new Map()) : Layer.effect(GeoIp, make(path))
  }

  /** Countries by canonical address. */
  static layerTable(countries: ReadonlyMap<string, string>): Layer.Layer<GeoIp> {
    return Layer.succeed(GeoIp, {
      country: ({ text }) => countries.get(text) ?? "",
      reload: Effect.undefined,
      lookupFailures: 0,
      builtAtSeconds: undefined
    })
  }
}

/** A database that cannot be used. `problem` ends a sentence that begins with the file. */
export class GeoIpError extends Schema.TaggedError<GeoIpError>()("GeoIpError", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `GeoIP database ${this.path} ${this.problem}`
  }
}

/** While one is replaced, two are in memory. A country database has some megabytes, a city database a hundred. */
const FILE_BYTES_MAX = 268_435_456

/** Decoded records, their shared parts included; a country database has a few hundred countries to tell of. */
const CACHED_VALUES_MAX = 4096

const make = Effect.fnUntraced(function* (path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const open = openFile(path).pipe(Effect.provideService(FileSystem.FileSystem, fileSystem))
  const oneAtATime = yield* Semaphore.make(1)
  let database = yield* open
  let lookupFailures = 0
  return GeoIp.of({
    country: (ip) => {
      // An IPv4 tree would be asked for the first 32 bits of the address.
      if (ip.family === 6 && database.metadata.ipVersion === 4) return ""
      try {
        return codeOf(database.get(ip.text))
      } catch {
        lookupFailures++
        return ""
      }
    },
    reload: open.pipe(
      Effect.map((opened) => {
        database = opened
        return path
      }),
      (replace) => oneAtATime.withPermit(replace),
      Effect.withSpan("GeoIp.reload")
    ),
    get lookupFailures() {
      return lookupFailures
    },
    get builtAtSeconds() {
      return database.metadata.buildEpoch.getTime() / 1000
    }
  })
})

/** The record's types are what the format promises, not what a file keeps. */
const codeOf = (record: CountryRecord | null): string => {
  const code: unknown = record?.country?.iso_code ?? record?.country_code
  return typeof code === "string" && COUNTRY_CODE.test(code) ? code : ""
}

const openFile = Effect.fnUntraced(function* (path: string) {
  const bytes = yield* readFile(path)
  const slices = openMmdb(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), { cache: new ValueCache() })
  for (;;) {
    const slice = slices.next()
    if (slice.done !== true) yield* Effect.yieldNow
    else if (Result.isSuccess(slice.value)) return slice.value.success
    else return yield* new GeoIpError({ path, problem: slice.value.failure })
  }
})

const readFile = Effect.fnUntraced(function* (path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const unreadable = Effect.mapError((error: PlatformError) => new GeoIpError({ path, problem: problemOf(error) }))
  const info = yield* fileSystem.stat(path).pipe(unreadable)
  if (info.type !== "File") return yield* new GeoIpError({ path, problem: "is no file" })
  const size = ByteSize.toNumberUnsafe(info.size)
  if (size > FILE_BYTES_MAX) return yield* new GeoIpError({ path, problem: `is larger than ${FILE_BYTES_MAX} bytes` })
  return yield* fileSystem.readFile(path).pipe(unreadable)
})

const problemOf = (error: PlatformError): string => {
  const reason = error.reason._tag
  if (reason === "NotFound") return "does not exist"
  if (reason === "PermissionDenied") return "may not be read by this user"
  return `cannot be read: ${error.message}`
}

/** What `maxmind` has decoded, by offset; part of one database, and gone with it. Starts again when it is full. */
class ValueCache {
  readonly #values = new Map<string | number, unknown>()

  get(offset: string | number): unknown {
    return this.#values.get(offset)
  }

  set(offset: string | number, value: unknown): void {
    if (this.#values.size >= CACHED_VALUES_MAX) this.#values.clear()
    this.#values.set(offset, value)
  }
}
