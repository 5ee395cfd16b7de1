/**
 * What programs import that embed the proxy: its services and their layers, to put together and to swap.
 *
 * A data plane follows what is published to it, and runs each connection as a fiber; a control plane keeps the state in
 * a store and takes mutations. Both run in one thread where their layers are provided together:
 *
 *     const layerDataPlane = LocalFollower.layer.pipe(
 *       Layer.provideMerge(DataPlane.layer),
 *       Layer.provideMerge(Connections.layer),
 *       Layer.provideMerge(layerPipeline) // Network, Dialer, GeoIp, RateLimiter, Settings, …
 *     )
 *     const layerProxy = ControlPlane.layer.pipe(
 *       Layer.provide(Store.layerMemory(state)),
 *       Layer.provideMerge(Drain.layer),
 *       Layer.provideMerge(layerDataPlane)
 *     )
 */
export { ControlPlane, type Decide, type Decision, type NotDone } from "./control/ControlPlane.ts"
export { Drain } from "./control/Drain.ts"
export { BindFailed, Follower, type FollowerStatus, type Reloaded } from "./control/Follower.ts"
export { StateIndex } from "./control/StateIndex.ts"
export type { Published } from "./control/Writer.ts"
export { Firewall } from "./firewall/Firewall.ts"
export { GeoIp, GeoIpError } from "./firewall/GeoIp.ts"
export { RateLimiter } from "./firewall/RateLimiter.ts"
export { Backends } from "./l7/backend/Backends.ts"
export { LiveView } from "./metrics/LiveView.ts"
export { Metrics } from "./metrics/Metrics.ts"
export * as MetricsServer from "./metrics/MetricsServer.ts"
export type { Connection } from "./net/Connection.ts"
export { DescriptorBudget } from "./net/DescriptorBudget.ts"
export { Dialer } from "./net/Dialer.ts"
export { parseIpAddress, type IpAddress } from "./net/IpAddress.ts"
export { ListenError, LookupError, Network, type DialError, type RelayEnd, type RelayTimeouts } from "./net/Network.ts"
export * as NodeNetwork from "./net/node/NodeNetwork.ts"
export type { SocketAddress } from "./net/SocketAddress.ts"
export { AccessLog, type ConnectionEntry } from "./observe/AccessLog.ts"
export { Counters } from "./observe/Counters.ts"
export * as Log from "./observe/Log.ts"
export { LogSink } from "./observe/LogSink.ts"
export * as Tracing from "./observe/Tracing.ts"
export { ConnectionQuota } from "./pipeline/ConnectionQuota.ts"
export type { ConnectionQuestion, Explanation, StageVerdict } from "./pipeline/Explain.ts"
export { OUTCOMES, type Outcome } from "./pipeline/Outcome.ts"
export { Settings } from "./pipeline/Settings.ts"
export { Connections } from "./server/Connections.ts"
export type { ConnectionEvent, ConnectionFilter, ConnectionView } from "./server/ConnectionView.ts"
export { DataPlane } from "./server/DataPlane.ts"
export * as LocalFollower from "./server/LocalFollower.ts"
export { apply, diff, EMPTY, type Change, type Edit, type ListenerSettings, type State } from "./snapshot/Change.ts"
export { parseFirewallRule, type FirewallRule } from "./snapshot/FirewallRule.ts"
export { parseHostname, type Hostname } from "./snapshot/Hostname.ts"
export type { L4Route, L7Policy, L7Route, Listener, Route, Snapshot } from "./snapshot/Snapshot.ts"
export { Certificates, type CertificateSlot, type ReadPair } from "./tls/Certificates.ts"
export { DatabaseError, DatabaseInUse } from "./store/DatabaseError.ts"
export * as SqliteStore from "./store/SqliteStore.ts"
export { Conflict, Store, WriteFailed } from "./store/Store.ts"
