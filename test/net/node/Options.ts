/** What the network suite has to know of Node's sockets. */
import { Effect } from "effect"
import type { SuiteOptions } from "../suite/Fixture.ts"
import { silentAddress } from "./SilentAddress.ts"

export const OPTIONS: SuiteOptions = {
  advance: () => Effect.void,
  turn: Effect.callback<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  }),
  openSockets: Effect.succeed(() => process.getActiveResourcesInfo().filter((kind) => SOCKETS.has(kind)).length),
  silentAddress,
  endAfterReset: "PeerEnded"
}

const SOCKETS: ReadonlySet<string> = new Set(["TCPSocketWrap", "TCPServerWrap", "TCPConnectWrap"])
