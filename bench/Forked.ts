/** What the bench's own processes have in common: they talk to the one that forked them, and end when it does. */

/** A Ctrl-C reaches the whole group; only the parent acts on it, and its end of the channel is what stops this one. */
export const followParent = (): void => {
  process.on("SIGINT", () => {})
  process.on("disconnect", () => process.exit())
}

/** A parent that has gone is told nothing; `followParent` sees to the rest. */
export const tellParent = (message: object): void => {
  process.send?.(message, undefined, {}, () => {})
}
