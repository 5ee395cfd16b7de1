/** What is fuzzed: code that takes anybody's bytes, with all that holds whatever they are. */
export interface Target {
  /** On the command line, and of its folder in the corpus. */
  readonly name: string
  /** Longer inputs find no more, and cost more. */
  readonly bytesMax: number
  /** What chance would hardly put together; one character a byte. */
  readonly dictionary: ReadonlyArray<string>
  /**
   * Throws when something does not hold. What it returns sums up what the bytes amount to, in one of a few dozen words
   * at most: an input with a new one is kept as one that runs new code is.
   */
  readonly check: (bytes: Uint8Array) => string
}
