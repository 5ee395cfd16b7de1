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
    /** The most sockets of listeners, clients and backends together. */
    readonly socketsMax: number
    /** Those that are open. */
    readonly open: number
    /** A place for a client that has just been accepted; `undefined` when the budget is used up. */
    take(): ClientPlace | undefined
    /** A place for a socket that dials no backend, such as a listener's; `undefined` when the budget is used up. */
    reserve(): Place | undefined
  }
>()("mc-proxy/net/DescriptorBudget") {
  static readonly layer = (socketsMax: number): Layer.Layer<DescriptorBudget> =>
    Layer.sync(DescriptorBudget, () => new Budget(socketsMax))
}

/** One socket's share of the budget. */
export interface Place {
  /** The socket is closed. */
  release(): void
}

/** Counts the sockets that are dialled. */
export interface BackendPlaces {
  /** Counts one more; false when there is none left. */
  takeBackend(): boolean
  releaseBackend(): void
}

/**
 * A client's share of the budget: its own socket, and those dialled for it. Of these, a second one at once takes nothing
 * that is kept for others; with more clients waiting than sockets are kept for, a first one does not either.
 */
export interface ClientPlace extends Place, BackendPlaces {}

/**
 * For so many clients without a backend's socket one is kept free. All of them on a small budget; on a
 * large one an eighth, so that clients which only hold their connection open do not take twice what they use.
 */
const KEPT_FOR_BACKENDS_MIN = 256
const keptForBackends = (socketsMax: number): number => Math.max(KEPT_FOR_BACKENDS_MIN, Math.floor(socketsMax / 8))

class Budget {
  readonly socketsMax: number
  readonly #keptMax: number
  #open = 0
  /** Clients that have no backend's socket. */
  #waiting = 0

  constructor(socketsMax: number) {
    this.socketsMax = socketsMax
    this.#keptMax = keptForBackends(socketsMax)
  }

  get open(): number {
    return this.#open
  }

  take(): ClientPlace | undefined {
    if (this.#open + 1 + this.#kept(this.#waiting + 1) > this.socketsMax) return undefined
    this.#open++
    this.#waiting++
    let backends = 0
    let released = false
    return {
      takeBackend: () => {
        const keptForOthers = backends === 0 ? 0 : this.#kept(this.#waiting)
        if (this.#open + 1 + keptForOthers > this.socketsMax) return false
        this.#open++
        if (backends++ === 0) this.#waiting--
        return true
      },
      releaseBackend: () => {
        this.#open--
        if (--backends === 0 && !released) this.#waiting++
      },
      release: () => {
        this.#open--
        released = true
        if (backends === 0) this.#waiting--
      }
    }
  }

  reserve(): Place | undefined {
    if (this.#open + 1 + this.#kept(this.#waiting) > this.socketsMax) return undefined
    this.#open++
    return { release: () => void this.#open-- }
  }

  #kept(waiting: number): number {
    return Math.min(waiting, this.#keptMax)
  }
}
