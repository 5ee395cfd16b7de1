/** `listListeners`, `addListener`, `updateListener`, `removeListener`, `setListenerMaxConnections`. */
import { Effect, Result } from "effect"
import { ControlPlane, type Decision } from "../control/ControlPlane.ts"
import type { StateIndex } from "../control/StateIndex.ts"
import type { ListenerSettings } from "../snapshot/Change.ts"
import { AlreadyExists, type NotFound } from "./AdminError.ts"
import type { Request } from "./AdminRpcs.ts"
import { noListener } from "./Replies.ts"
import { readAddr, readListenerSettings, readMaxConnections } from "./Requests.ts"

export const listenerOperations = Effect.gen(function* () {
  const control = yield* ControlPlane

  return {
    listListeners: () => Effect.sync(() => ({ listeners: control.current.state.listeners })),

    addListener: Effect.fn("addListener")(function* (request: Request<"addListener">) {
      const listener = yield* Effect.fromResult(readListenerSettings("listener", request.listener))
      return yield* control.mutate((state) =>
        state.listener(listener.addr) === undefined
          ? Result.succeed(put(listener))
          : Result.fail(new AlreadyExists({ message: `listener.addr: listener ${listener.addr} is there already` }))
      )
    }),

    updateListener: Effect.fn("updateListener")(function* (request: Request<"updateListener">) {
      const listener = yield* Effect.fromResult(readListenerSettings("listener", request.listener))
      return yield* control.mutate((state) => change(state, listener.addr, () => listener))
    }),

    removeListener: Effect.fn("removeListener")(function* (request: Request<"removeListener">) {
      const addr = yield* Effect.fromResult(readAddr("addr", request.addr))
      return yield* control.mutate((state) =>
        state.listener(addr) === undefined
          ? Result.fail(noListener(addr))
          : Result.succeed({ change: [{ _tag: "RemoveListener", addr }], answer: {} })
      )
    }),

    setListenerMaxConnections: Effect.fn("setListenerMaxConnections")(function* (
      request: Request<"setListenerMaxConnections">
    ) {
      const addr = yield* Effect.fromResult(readAddr("listener_addr", request.listenerAddr))
      const maxConnections = yield* Effect.fromResult(readMaxConnections(request.maxConnections))
      return yield* control.mutate((state) => change(state, addr, (before) => ({ ...before, maxConnections })))
    })
  }
})

const put = (listener: ListenerSettings): Decision<object> => ({
  change: [{ _tag: "PutListener", listener }],
  answer: {}
})

/** Other settings for a listener that is there. */
const change = (
  state: StateIndex,
  addr: string,
  to: (before: ListenerSettings) => ListenerSettings
): Result.Result<Decision<object>, NotFound> => {
  const before = state.listener(addr)
  return before === undefined ? Result.fail(noListener(addr)) : Result.succeed(put(to(before)))
}
