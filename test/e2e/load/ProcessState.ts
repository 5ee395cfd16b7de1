/**
 * What a running process holds, as the kernel counts it, read from /proc: these tests run on Linux alone.
 *
 * A process that lets go of something tells nobody, so this is the one place where tests ask again and again, bounded
 * as every wait of theirs.
 */
import { Effect, Schedule } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { WAIT_TIMEOUT } from "../harness/Watch.ts"

/** Open descriptors. */
export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Resident memory in bytes. */
export const residentBytesOf = (pid: number): number => {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!
  return Number(kib) * 1024
}

/** CPU time used since the start, in milliseconds: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second. */
export const cpuMsOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return 10 * (Number(afterName[11]) + Number(afterName[12]))
}

/** Reads until what it reads `is` as it should be, and gives that. */
export const eventually = <A>(what: string, read: () => A, is: (value: A) => boolean): Effect.Effect<A> =>
  Effect.suspend(() => {
    let last: A
    const attempt = Effect.suspend(() => ((last = read()), is(last) ? Effect.succeed(last) : Effect.fail("not yet")))
    return Effect.retry(attempt, Schedule.spaced("20 millis")).pipe(
      Effect.timeoutOrElse({
        duration: WAIT_TIMEOUT,
        orElse: () => Effect.die(new Error(`waited ${WAIT_TIMEOUT} for ${what}; it is ${String(last)}`))
      }),
      Effect.orDie
    )
  })

/** The same, of a proxy that is served its database by now: its thread opens that while connections come already. */
export const settledDescriptorsOf = (pid: number): Effect.Effect<number> => {
  // A process maps this file into its memory as the last step of opening a database (WAL).
  const maps = () => readFileSync(`/proc/${pid}/maps`, "utf8")
  const opened = eventually("an open database", maps, (mapped) => mapped.includes(".db-shm"))
  return Effect.map(opened, () => descriptorsOf(pid))
}

/** Waits until a process has no more than so many descriptors open. */
export const awaitDescriptors = (pid: number, count: number): Effect.Effect<number> =>
  eventually(
    `${count} descriptors`,
    () => descriptorsOf(pid),
    (open) => open <= count
  )
