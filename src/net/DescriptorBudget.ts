/**
 * How many sockets may be open at once: RLIMIT_NOFILE less a reserve for everything else.
 *
 * Past the limit Node's loop accepts and closes connections without telling anyone, and everything else that opens a
 * file fails; so the budget is kept before that. A client is taken only while a backend's socket is left for it too.
 */
import { Context, Layer } from "effect"

export class DescriptorBudget extends Context.Service<
  DescriptorBudget,
  {
    /** The most sockets of clients and backends together. */
    readonly socketsMax: number
    /** A place for a client that has just been accepted; `undefined` when the budget is used up. */
    take(): ClientPlace | undefined
  }
>()("mc-proxy/net/DescriptorBudget") {
  static readonly layer = (socketsMax: number): Layer.Layer<DescriptorBudget> =>
    Layer.sync(DescriptorBudget, () => new Budget(socketsMax))
}

/** A client's share of the budget: its own socket, and those dialled for it. */
export interface ClientPlace {
  /** Counts one more backend socket; false when there is none left, which only a second attempt at once can meet. */
  takeBackend(): boolean
  releaseBackend(): void
  /** The client's socket is closed. */
  release(): void
}

/**
 * For so many clients that have not dialled yet a backend's socket is kept free. All of them on a small budget; on a
 * large one an eighth, so that clients which only hold their connection open do not take twice what they use.
 */
const KEPT_FOR_BACKENDS_MIN = 256
const keptForBackends = (socketsMax: number): number => Math.max(KEPT_FOR_BACKENDS_MIN, Math.floor(socketsMax / 8))

class Budget {
  readonly socketsMax: number
  readonly #keptMax: number
  #open = 0
  /** Clients that have not dialled. */
  #waiting = 0

  constructor(socketsMax: number) {
    this.socketsMax = socketsMax
    this.#keptMax = keptForBackends(socketsMax)
  }

  take(): ClientPlace | undefined {
    if (this.#open + 1 + Math.min(this.#waiting + 1, this.#keptMax) > this.socketsMax) return undefined
    this.#open++
    this.#waiting++
    let waiting = true
    const dialled = () => {
      if (waiting) this.#waiting--
      waiting = false
    }
    return {
      takeBackend: () => {
        dialled()
        if (this.#open >= this.socketsMax) return false
        this.#open++
        return true
      },
      releaseBackend: () => {
        this.#open--
      },
      release: () => {
        dialled()
        this.#open--
      }
    }
  }
}
