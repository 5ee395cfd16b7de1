/**
 * Lets go of a stream that has closed, and of all that its listeners refer to: the connection, its fiber, the request.
 *
 * Nothing refers to the stream by then, and yet it lives until the next full collection. V8 makes a closure that is
 * assigned to a property in the place where it is written (`this.onwrite = () => …`) an old object at once, Node has
 * one such in each stream that can be written to, and collections of young objects take all that an old one refers to
 * for alive. They would copy whole connections that have ended, twice each, while everybody waits.
 */
import type { EventEmitter } from "node:events"

/** To be called as the stream emits `close`, its last event. */
export const letGo = (stream: EventEmitter): void => {
  // Or each listener that goes is announced to those of this event.
  stream.removeAllListeners("removeListener")
  stream.removeAllListeners()
  stream.on("error", ignore)
}

/** For the errors of streams whose end is noticed by other means. */
export const ignore = (): void => {}
