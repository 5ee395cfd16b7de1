/** A backend of HTTP/1.1 that answers `/held` when the test says so, and everything else at once with its path. */
import { Effect, type Scope } from "effect"
import type { ServerResponse } from "node:http"
import { Watch } from "../harness/Watch.ts"
import { startHttp1Backend, type HttpBackend } from "./HttpBackend.ts"

export interface HeldBackend extends HttpBackend {
  /** Waits until `/held` has been asked for so many times since the last release. */
  holds(count: number): Effect.Effect<void>
  /** Answers those that it holds with `released`. */
  release(): void
}

export const startHeldBackend: Effect.Effect<HeldBackend, never, Scope.Scope> = Effect.gen(function* () {
  const watch = new Watch()
  let held: Array<ServerResponse> = []
  const backend = yield* startHttp1Backend((request, response) => {
    request.resume()
    if (request.url !== "/held") return void response.end(request.url)
    held.push(response)
    watch.notify()
  })
  return {
    ...backend,
    holds: (count) =>
      Effect.asVoid(watch.until(`${count} requests held`, () => (held.length >= count ? true : undefined))),
    release: () => {
      for (const response of held) response.end("released")
      held = []
    }
  }
})
