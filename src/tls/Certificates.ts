/**
 * The certificates that are served, each loaded once for all routes that name its files.
 *
 * A route retains a slot and looks into it at each handshake, so that what is re-read is served from the next handshake
 * on, and swapped in one step. A pair of files that does not load changes nothing: what was loaded before is served on,
 * and where there is nothing the slot is empty. Files are read when a revision is made ready and at `reload`, never
 * while a connection waits. Private keys are in memory alone.
 */
import { Clock, Context, Effect, FileSystem, Layer, Schedule, Semaphore } from "effect"
import type { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { showText } from "../config/Printable.ts"
import { readKeyPair, type FileProblem, type KeyPair } from "./KeyPair.ts"
import type { SecureContext } from "./SecureContexts.ts"

export class Certificates extends Context.Service<
  Certificates,
  {
    /** The slot of these files, for one route more. Whatever it holds already, `load` reads them again. */
    retain(certPath: string, keyPath: string): CertificateSlot
    /** For one route less. The slot goes with the last; what it holds stays usable to who has it. */
    release(slot: CertificateSlot): void
    /** Reads the files of what was retained since. What does not load is logged. */
    readonly load: Effect.Effect<void>
    /** Reads every file again. What does not load is logged and answered, and what was there kept. */
    readonly reload: Effect.Effect<CertificatesReloaded>
    /** The slots whose files did not load when they were last read; at most so many. */
    failing(max: number): ReadonlyArray<CertificateSlot>
  }
>()("mc-proxy/tls/Certificates") {
  static readonly layer: Layer.Layer<Certificates, never, FileSystem.FileSystem> = Layer.effect(
    Certificates,
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      return yield* make((certPath, keyPath, ticketKeys) =>
        Effect.provideService(readKeyPair(certPath, keyPath, ticketKeys), FileSystem.FileSystem, fileSystem)
      )
    })
  )

  /** Pairs that come from elsewhere than files. */
  static layerFrom(read: ReadPair): Layer.Layer<Certificates> {
    return Layer.effect(Certificates, make(read))
  }
}

/** What a handshake is served with, now. */
export interface CertificateSlot {
  readonly certPath: string
  readonly keyPath: string
  /** `undefined`: nothing has loaded yet. */
  readonly context: SecureContext | undefined
  /** Of the certificate in `context`: milliseconds since 1970. */
  readonly notAfter: number | undefined
  /** Why the files did not load when they were last read: a sentence for the operator. */
  readonly problem: string | undefined
}

export interface CertificatesReloaded {
  /** Paths. */
  readonly reloaded: ReadonlyArray<string>
  /** Kept as they were. */
  readonly failed: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

export type ReadPair = (
  certPath: string,
  keyPath: string,
  ticketKeys: Buffer
) => Effect.Effect<KeyPair, ReadonlyArray<FileProblem>>

const make = Effect.fnUntraced(function* (read: ReadPair) {
  const slots = new Map<string, Slot>()
  const unread = new Set<Slot>()
  const oneAtATime = yield* Semaphore.make(1)

  const readOne = Effect.fnUntraced(function* (slot: Slot) {
    const late: ReadonlyArray<FileProblem> = [{ file: "certificate", message: "could not be read in time" }]
    const failed = yield* read(slot.certPath, slot.keyPath, slot.ticketKeys).pipe(
      Effect.timeoutOrElse({ duration: READ_TIMEOUT_MS, orElse: () => Effect.fail(late) }),
      Effect.match({ onFailure: (problems) => slot.fail(problems), onSuccess: (pair) => slot.fill(pair) })
    )
    // Parsing and making a context takes a millisecond, and connections wait for it.
    yield* Effect.yieldNow
    return failed
  })

  const readAll = Effect.fnUntraced(function* (all: ReadonlyArray<Slot>) {
    const failed = (yield* Effect.forEach(all, readOne, { concurrency: READS_AT_ONCE })).flat()
    yield* logEach(failed, (more) => `${more} more certificates did not load`, logFailed)
    yield* warnOfExpiry(all)
    return failed
  })

  // At the end of each day: `load` has looked already.
  const everyDay = Effect.suspend(() => warnOfExpiry([...slots.values()]))
  yield* Effect.forkScoped(Effect.repeat(Effect.delay(everyDay, DAY_MS), Schedule.forever))

  return Certificates.of({
    retain: (certPath, keyPath) => {
      const key = `${certPath}\0${keyPath}`
      const slot = slots.get(key) ?? new Slot(certPath, keyPath)
      slots.set(key, slot)
      slot.routes++
      unread.add(slot)
      return slot
    },
    release: ({ certPath, keyPath }) => {
      const key = `${certPath}\0${keyPath}`
      const slot = slots.get(key)
      if (slot === undefined || --slot.routes > 0) return
      slots.delete(key)
      unread.delete(slot)
    },
    load: oneAtATime.withPermit(
      Effect.suspend(() => {
        const all = [...unread]
        unread.clear()
        return Effect.asVoid(readAll(all))
      })
    ),
    reload: oneAtATime.withPermit(
      Effect.gen(function* () {
        const all = [...slots.values()]
        const failed = yield* readAll(all)
        const loaded = all.filter(({ problem }) => problem === undefined)
        const paths = new Set(loaded.flatMap(({ certPath, keyPath }) => [certPath, keyPath]))
        return { reloaded: [...paths], failed: failed.map(({ path, reason }) => ({ path, reason })) }
      })
    ),
    failing: (max) => {
      const found: Array<CertificateSlot> = []
      for (const slot of slots.values()) if (slot.problem !== undefined && found.push(slot) === max) break
      return found
    }
  })
})

interface Failed {
  readonly path: string
  readonly reason: string
  /** Whether there is one from before to be served. */
  readonly kept: boolean
}

class Slot implements CertificateSlot {
  readonly certPath: string
  readonly keyPath: string
  /** Its own, so that no session of one route's name is resumed under another's; kept, so that a reload ends none. */
  readonly ticketKeys = randomBytes(TICKET_KEYS_BYTES)
  routes = 0
  context: SecureContext | undefined
  notAfter: number | undefined
  problem: string | undefined

  constructor(certPath: string, keyPath: string) {
    this.certPath = certPath
    this.keyPath = keyPath
  }

  fill({ context, notAfter }: KeyPair): ReadonlyArray<Failed> {
    this.context = context
    this.notAfter = notAfter
    this.problem = undefined
    return []
  }

  fail(problems: ReadonlyArray<FileProblem>): ReadonlyArray<Failed> {
    const failed = problems.map(({ file, message }) => ({
      path: file === "key" ? this.keyPath : this.certPath,
      reason: message,
      kept: this.context !== undefined
    }))
    this.problem = failed.map(({ path, reason }) => `${showText(path)} ${reason}`).join("; ")
    return failed
  }
}

const logFailed = ({ kept, path, reason }: Failed) =>
  Effect.annotateLogs(Effect.logError(kept ? "kept the old certificate" : "no certificate to serve"), { path, reason })

/** Tells of what ends within the fortnight, or has ended. */
const warnOfExpiry = Effect.fnUntraced(function* (all: ReadonlyArray<Slot>) {
  const now = yield* Clock.currentTimeMillis
  const ending = all.flatMap(({ certPath: path, notAfter }) =>
    notAfter === undefined || notAfter - now > EXPIRY_NOTICE_MS ? [] : [{ path, notAfter }]
  )
  yield* logEach(
    ending,
    (more) => `${more} more certificates expire soon`,
    ({ notAfter, path }) =>
      Effect.annotateLogs(Effect.logWarning(notAfter < now ? "certificate has expired" : "certificate expires soon"), {
        path,
        not_after: new Date(notAfter).toISOString()
      })
  )
})

const logEach = Effect.fnUntraced(function* <A>(
  items: ReadonlyArray<A>,
  describeMore: (more: number) => string,
  log: (item: A) => Effect.Effect<void>
) {
  for (const item of items.slice(0, LINES_MAX)) yield* log(item)
  if (items.length > LINES_MAX) yield* Effect.logWarning(describeMore(items.length - LINES_MAX))
})

/** A disk that hangs must not hold up a revision for ever. */
const READ_TIMEOUT_MS = 10_000

/** Reading files is waiting, mostly; a few at once fill Node's threads for it, and leave them to others too. */
const READS_AT_ONCE = 4

/** As many as somebody reads. */
const LINES_MAX = 100

const DAY_MS = 24 * 3600 * 1000
const EXPIRY_NOTICE_MS = 14 * DAY_MS

/** What OpenSSL seals a ticket with: a name, a key to authenticate and one to encrypt, 16 bytes each. */
const TICKET_KEYS_BYTES = 48
