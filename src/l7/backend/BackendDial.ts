/**
 * Reaches a route's backend, up to the first byte of HTTP: dial, PROXY header, TLS, all of it by `connect_timeout`.
 *
 * The scope owns the connection and its place in the descriptor budget.
 */
import { Effect } from "effect"
import type { FileSystem, Scope } from "effect"
import type { Duplex } from "node:stream"
import { readBoundedFile } from "../../config/BoundedFile.ts"
import type { Connection } from "../../net/Connection.ts"
import type { BackendPlaces } from "../../net/DescriptorBudget.ts"
import { Dialer } from "../../net/Dialer.ts"
import { Network, type DialError, type HandshakeError } from "../../net/Network.ts"
import type { Settings } from "../../pipeline/Settings.ts"
import { writeProxyHeader } from "../../proxyproto/ProxyHeaderV2.ts"
import type { CompiledL7Route } from "../../routing/RouteTable.ts"
import { clientContext, defaultRoots, type SecureContext } from "../../tls/SecureContexts.ts"
import type { BackendFailed, ClientOfPool } from "./Backends.ts"

export interface OpenBackend {
  readonly connection: Connection
  readonly duplex: Duplex
  /** Of the requests on it. */
  readonly scheme: "http" | "https"
}

export type DialServices = Dialer | Network | Settings | FileSystem.FileSystem | Scope.Scope

/** `client` is whom a PROXY header tells of; `undefined` where the connection is shared. */
export const dialBackend = Effect.fnUntraced(function* (
  compiled: CompiledL7Route,
  client: ClientOfPool | undefined,
  places: BackendPlaces,
  deadline: number
): Effect.fn.Return<OpenBackend, BackendFailed, DialServices> {
  const network = yield* Network
  const dialer = yield* Dialer
  const { route } = compiled
  const startedAt = network.now()
  const opening = Effect.gen(function* () {
    const connection = yield* Effect.mapError(dialer.dial(compiled.backend, deadline, places), ofDial)
    if (client !== undefined) yield* introduce(connection, compiled, client)
    if (!route.backendTls) return { connection, duplex: network.asDuplex(connection), scheme: "http" as const }
    const duplex = yield* secure(connection, compiled, deadline)
    return { connection, duplex, scheme: "https" as const }
  })
  const opened = yield* Effect.tapError(opening, ({ reason }) => warnOfFailing(compiled, reason, network.now()))
  compiled.dials.observe(network.now() - startedAt)
  return opened
})

const introduce = (connection: Connection, { route }: CompiledL7Route, { id, client, destination }: ClientOfPool) =>
  Effect.mapError(
    connection.write(writeProxyHeader({ client, destination, authority: route.hostname, uniqueId: id })),
    () => failed("unavailable", "reset during the PROXY header")
  )

const secure = Effect.fnUntraced(function* (
  connection: Connection,
  { backend, route }: CompiledL7Route,
  deadline: number
): Effect.fn.Return<Duplex, BackendFailed, DialServices> {
  const network = yield* Network
  const host = typeof backend.host === "string" ? backend.host : backend.host.text
  const context = yield* contextOf(route.backendCa)
  const tls = yield* Effect.mapError(
    network.secure(connection, {
      context,
      serverName: route.backendServerName === "" ? host : route.backendServerName,
      alpn: [route.backendProtocol],
      deadline
    }),
    ofHandshake
  )
  // HTTP/1.1 is what is spoken where nothing was agreed on; HTTP/2 has to be (RFC 9113 3.2).
  if (route.backendProtocol === "h2" && tls.alpn !== "h2") {
    return yield* Effect.fail(failed("unavailable", "the backend does not speak h2: it did not agree to it by ALPN"))
  }
  return tls.duplex
})

/** Contexts by their roots' file; "" are the default ones. A bundle of all public roots takes megabytes. */
const contexts = new Map<string, { readonly pem: string; readonly context: SecureContext }>()

/** More than anybody has certificate authorities of their own; beyond, the one made first is made again. */
const CONTEXTS_MAX = 256

/** The file is read for each dial, so that a new one holds from the next connection on. */
const contextOf = Effect.fnUntraced(function* (file: string) {
  const bytes =
    file === ""
      ? new Uint8Array(0)
      : yield* Effect.mapError(readBoundedFile(file, ROOTS_BYTES_MAX), (problem) =>
          failed("unavailable", `${file} ${problem}`)
        )
  const pem = Buffer.from(bytes).toString("latin1")
  const known = contexts.get(file)
  if (known?.pem === pem) return known.context
  const context = yield* Effect.try({
    try: () => clientContext(file === "" ? defaultRoots() : pem),
    catch: () => failed("unavailable", `${file} holds no certificates that TLS takes`)
  })
  contexts.delete(file)
  for (const oldest of contexts.keys()) {
    if (contexts.size < CONTEXTS_MAX) break
    contexts.delete(oldest)
  }
  contexts.set(file, { pem, context })
  return context
})

/** As for the certificates of the configuration. */
const ROOTS_BYTES_MAX = 1024 * 1024

/** Tells the operator of a backend that cannot be reached, once in a while however many clients ask for it. */
const warnOfFailing = ({ backendAlarm, route }: CompiledL7Route, reason: string, now: number) =>
  backendAlarm.raise(now)
    ? Effect.logWarning("a backend cannot be reached").pipe(
        Effect.annotateLogs({ hostname: route.hostname, backend: route.backend, reason })
      )
    : Effect.void

/** Nothing was sent; but to ask again at once would only meet the same, so that it does not count as `unprocessed`. */
const failed = (_tag: BackendFailed["_tag"], reason: string): BackendFailed => ({ _tag, reason, unprocessed: false })

const ofDial = ({ _tag, reason }: DialError): BackendFailed =>
  failed(_tag === "dial_timeout" ? "timed_out" : "unavailable", reason)

const ofHandshake = ({ _tag, reason }: HandshakeError): BackendFailed =>
  failed(_tag === "handshake_timeout" ? "timed_out" : "unavailable", `TLS: ${reason}`)
