/**
 * The bounded memory between those who log and the one who writes.
 *
 * Lines leave in the order in which they came, joined into batches of whole lines. When the bound is reached new lines
 * are dropped and counted, and go on being dropped until a batch has been written: then one notice stands where they
 * would have been. It does no writing and knows no time; one consumer takes batches, one at a time.
 */

/**
 * Characters held at most, queued and being written: the access lines of 20,000 connections that end at once, as when
 * their backend goes, since the event loop may come to the end of all of them before it comes to the writing of one.
 */
export const BUFFER_LENGTH_MAX = 8 * 1024 * 1024

/** A batch takes no more lines beyond this: a pipe's capacity on Linux, so that room is freed in such steps. */
export const BATCH_LENGTH = 64 * 1024

export class LineBuffer {
  readonly #notice: (lost: number) => string
  /** Every line that will never be written. */
  dropped = 0
  readonly #queue: Array<Batch> = []
  #taken: Batch | undefined
  /** Characters in the queue and in the batch that was taken. */
  #length = 0
  /** Lines dropped since the last notice. */
  #lost = 0
  #ended = false

  /** `notice` makes the line that tells how many were lost. */
  constructor(notice: (lost: number) => string) {
    this.#notice = notice
  }

  /** Queues `line`, to which it adds the newline. `false`: there was no room, or the end has come. */
  push(line: string): boolean {
    if (this.#ended || this.#lost > 0 || this.#length + line.length >= BUFFER_LENGTH_MAX) {
      this.dropped++
      this.#lost++
      // A line that is longer than the whole buffer is dropped while no batch is there to be waited for.
      if (this.#length === 0 && !this.#ended) this.#tellLost()
      return false
    }
    this.#append(line, 1)
    return true
  }

  /** The oldest batch, to be written before the next is taken; `undefined` when there is none. */
  take(): string | undefined {
    this.#taken = this.#queue.shift()
    return this.#taken?.text
  }

  /** The batch taken last is written: frees its room, and tells how many lines were lost meanwhile. */
  release(): void {
    this.#length -= this.#taken?.text.length ?? 0
    this.#taken = undefined
    // Beyond the bound by one line at worst: a batch makes room, and nothing else has been let in since.
    if (this.#lost > 0) this.#tellLost()
  }

  /** Nothing will be written any more: what is held is dropped, and what comes. */
  end(): void {
    this.#ended = true
    for (const batch of this.#queue) this.dropped += batch.lines
    this.dropped += this.#taken?.lines ?? 0
    this.#queue.length = 0
    this.#taken = undefined
    this.#length = 0
  }

  #tellLost(): void {
    this.#append(this.#notice(this.#lost), 0)
    this.#lost = 0
  }

  #append(line: string, count: 0 | 1): void {
    const last = this.#queue.at(-1)
    if (last === undefined || last.text.length >= BATCH_LENGTH) {
      this.#queue.push({ text: `${line}\n`, lines: count })
    } else {
      last.text += `${line}\n`
      last.lines += count
    }
    this.#length += line.length + 1
  }
}

interface Batch {
  text: string
  /** Callers' lines; a notice is none. */
  lines: number
}
