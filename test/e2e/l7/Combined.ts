/**
 * The built proxy before backends of every kind, and clients of both versions of HTTP that ask alike.
 *
 * Each kind of backend has a name of its own. A client's connection is the scope's.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { writeFileSync } from "node:fs"
import { connect as connectHttp2, constants, type ClientHttp2Session } from "node:http2"
import { Agent, request as requestHttp1 } from "node:https"
import type { Server } from "node:net"
import { join } from "node:path"
import type { Readable, Writable } from "node:stream"
import { connect as connectTls } from "node:tls"
import { endWhenWhole } from "../../../src/l7/EndOfStream.ts"
import {
  backendCa,
  KINDS,
  startBackend,
  takeAll,
  type Handler,
  type Kind,
  type RunningBackend
} from "../../l7/backend/World.ts"
import { identityOf, trusted } from "../harness/Certificates.ts"
import { temporaryFolder } from "../harness/Folder.ts"
import { ADMIN, METRICS, startProxyIn, type Proxy } from "../harness/Proxy.ts"
import { within } from "../harness/Watch.ts"
import { splitAddress } from "../harness/Wire.ts"

export const NAMES: Readonly<Record<string, string>> = {
  "HTTP/1.1": "h1.test",
  "HTTP/1.1 over TLS": "h1s.test",
  h2c: "h2c.test",
  "h2 over TLS": "h2s.test"
}

export interface Site {
  readonly proxy: Proxy
  readonly port: number
  readonly backends: ReadonlyMap<Kind, RunningBackend>
  /** A file with what its clients trust. */
  readonly ca: string
}

/** Starts all of it; `adjust` may give a server other listeners. */
export const startSite = Effect.fnUntraced(function* (
  handler: Handler,
  adjust: (server: Server) => void = () => {},
  route: Readonly<Record<string, unknown>> = {},
  takesWebSockets: boolean = true
): Effect.fn.Return<Site, never, Scope.Scope> {
  const folder = yield* temporaryFolder
  const backends = new Map<Kind, RunningBackend>()
  const routes = yield* Effect.forEach(
    KINDS,
    Effect.fnUntraced(function* (kind) {
      const backend = yield* startBackend(kind, handler, adjust, takesWebSockets)
      backends.set(kind, backend)
      const over = kind.tls
        ? { backend_tls: true, backend_ca: yield* backendCa, backend_server_name: "backend.test" }
        : {}
      const own = yield* l7Route(folder, NAMES[kind.name]!, `127.0.0.1:${backend.port}`)
      return { ...own, backend_protocol: kind.protocol, ...over, ...route }
    })
  )
  const proxy = yield* startProxyIn(folder, { listeners: [{ routes }], grpc: ADMIN, metrics: METRICS })
  const ca = join(folder, "ca.pem")
  writeFileSync(ca, trusted)
  return { proxy, port: splitAddress(proxy.address).port, backends, ca }
})

/** A route on L7, with its certificate in `folder`. */
export const l7Route = Effect.fnUntraced(function* (folder: string, hostname: string, backend: string) {
  const { certificate, key } = yield* Effect.promise(() => identityOf(hostname))
  const [cert, keyFile] = [join(folder, `${hostname}.pem`), join(folder, `${hostname}.key`)]
  writeFileSync(cert, certificate)
  writeFileSync(keyFile, key)
  return { hostname, backend, mode: "l7", tls_cert: cert, tls_key: keyFile }
})

export interface Ask {
  readonly method?: string
  readonly path?: string
  readonly fields?: Readonly<Record<string, string>>
  /** Left out: there is none, unless `isOpen`. */
  readonly body?: Buffer
  /** The test writes the body. */
  readonly isOpen?: boolean
  readonly trailers?: Readonly<Record<string, string>>
}

type Values = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

export interface Head {
  readonly status: number
  readonly fields: Values
  readonly readable: Readable
  readonly trailers: () => Values
}

/** What has been asked. */
export interface Exchange {
  readonly writable: Writable
  /** The statuses of the interim responses so far. */
  readonly interim: ReadonlyArray<number>
  readonly head: Effect.Effect<Head>
  /** RST_STREAM, or the connection's end. */
  readonly cancel: () => void
}

export interface Client {
  readonly version: string
  readonly start: (what?: Ask) => Exchange
}

export interface Answer {
  readonly status: number
  readonly fields: Values
  readonly interim: ReadonlyArray<number>
  readonly body: Buffer
  /** Ended as it should. */
  readonly isWhole: boolean
  readonly trailers: Values
}

/** Asks, and takes the whole answer. */
export const ask = Effect.fnUntraced(function* (client: Client, what: Ask = {}): Effect.fn.Return<Answer> {
  const { head, interim } = client.start(what)
  const { fields, readable, status, trailers } = yield* head
  const { bytes, isWhole } = yield* within(`the body over ${client.version}`)(takeAll(readable))
  return { status, fields, interim, body: bytes, isWhole, trailers: trailers() }
})

const hasBody = ({ body, isOpen = false }: Ask): boolean => body !== undefined || isOpen

const headOf = (version: string, head: Promise<Head>): Effect.Effect<Head> => {
  // Waited for later, if at all.
  head.catch(() => {})
  return within(`a response over ${version}`)(Effect.promise(() => head))
}

/** A client of HTTP/1.1 with one connection, which is kept. */
export const http1Client = ({ port }: Pick<Site, "port">, name: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true, maxSockets: 1, ca: trusted, servername: name })),
      (agent) => Effect.sync(() => agent.destroy())
    ),
    (agent) => ({
      version: "HTTP/1.1",
      start: (what = {}) => {
        const { fields = {}, method = "GET", path = "/", trailers = {} } = what
        const coding = hasBody(what) && fields["content-length"] === undefined ? { "transfer-encoding": "chunked" } : {}
        const headers = { host: name, ...fields, ...coding }
        const to = { host: "127.0.0.1", port, servername: name, maxHeaderSize: 65_536 }
        const outgoing = requestHttp1({ agent, ...to, method, path, headers })
        const interim: Array<number> = []
        outgoing.on("information", ({ statusCode }) => interim.push(statusCode))
        const head = new Promise<Head>((resolve, reject) => {
          outgoing.on("error", reject).on("response", (incoming) => {
            incoming.on("error", () => {})
            const { headers: fields, statusCode: status = 0 } = incoming
            resolve({ status, fields, readable: incoming, trailers: () => incoming.trailers })
          })
        })
        if (Object.keys(trailers).length > 0) outgoing.addTrailers(trailers)
        if (what.isOpen === true) outgoing.flushHeaders()
        else outgoing.end(what.body)
        const cancel = () => void outgoing.destroy()
        return { writable: outgoing, interim, head: headOf("HTTP/1.1", head), cancel }
      }
    })
  )

/** A client of HTTP/2 with one connection. */
export const http2Client = (site: Pick<Site, "port">, name: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.map(http2Session(site, name), (session) => ({
    version: "HTTP/2",
    start: (what = {}) => {
      const { fields = {}, method = "GET", path = "/", trailers = {} } = what
      const pseudo = { ":method": method, ":path": path, ":authority": name }
      const waitForTrailers = Object.keys(trailers).length > 0
      const stream = session.request({ ...pseudo, ...fields }, { endStream: !hasBody(what), waitForTrailers })
      const interim: Array<number> = []
      let last: Values = {}
      stream.on("headers", (headers) => interim.push(headers[":status"] ?? 0))
      stream.on("trailers", (headers) => (last = headers))
      stream.on("wantTrailers", () => stream.sendTrailers(trailers))
      const head = new Promise<Head>((resolve, reject) => {
        stream.on("response", (headers) => {
          resolve({ status: headers[":status"] ?? 0, fields: headers, readable: stream, trailers: () => last })
        })
        stream.on("error", reject).on("close", () => reject(new Error(`closed with ${stream.rstCode}`)))
      })
      endWhenWhole(stream)
      if (what.body !== undefined) stream.end(what.body)
      const cancel = () => stream.close(constants.NGHTTP2_CANCEL)
      return { writable: stream, interim, head: headOf("HTTP/2", head), cancel }
    }
  }))

export const http2Session = (
  { port }: Pick<Site, "port">,
  name: string
): Effect.Effect<ClientHttp2Session, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ClientHttp2Session>((resume) => {
      const session = connectHttp2(`https://${name}`, {
        createConnection: () =>
          connectTls({ host: "127.0.0.1", port, servername: name, ca: trusted, ALPNProtocols: ["h2"] })
      })
      session.on("error", () => {}).once("remoteSettings", () => resume(Effect.succeed(session)))
    }).pipe(within("a session of HTTP/2")),
    (session) => Effect.sync(() => session.destroy())
  )

export const CLIENTS = [http1Client, http2Client]
