/**
 * What programs import that test with a proxy in memory: `import { SimProxy } from "mc-proxy/testing"`.
 *
 * `SimNetwork` and `SimStore` take the places of sockets and disk, under any clock; `SimRuntime` is a clock and a
 * scheduler of their own, on which a program runs to its end in no real time, the same each time for the same seed.
 */
export type { TraceEvent, TraceKind } from "./net/sim/Trace.ts"
export type { Link, Range } from "./net/sim/Link.ts"
export { SimBackend } from "./net/sim/SimBackend.ts"
export type { HostOptions, SimHost } from "./net/sim/SimHost.ts"
export type { NameAnswer } from "./net/sim/SimNames.ts"
export { SimNetwork, type BackendOptions, type ConnectOptions, type SimNetworkOptions } from "./net/sim/SimNetwork.ts"
export { SimPeer, type Received, type ReceiveEnd } from "./net/sim/SimPeer.ts"
export { SimStore, type Statement, type StoreFault } from "./store/SimStore.ts"
export { formatEvent, type SimEvent } from "./testing/simulator/Journal.ts"
export { simulate, type SimulateOptions, type Simulation } from "./testing/simulator/Simulate.ts"
export type { Check, SimRun } from "./testing/simulator/SimRun.ts"
export { storyOf } from "./testing/simulator/Story.ts"
export { clientHello, type HelloShape } from "./testing/Hello.ts"
export { Draw } from "./testing/Draw.ts"
export { SimProxy, type Replaceable, type SimAdmin, type SimProxyOptions } from "./testing/SimProxy.ts"
export { SimRuntime, SimStuck, type SimRuntimeOptions } from "./testing/SimRuntime.ts"
export { serveEcho, visit, type VisitOptions } from "./testing/Visit.ts"
