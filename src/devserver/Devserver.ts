/**
 * What `mc-proxy devserver` needs beside the proxy itself: a folder with a config and certificates, and demo backends.
 *
 * A first run makes the folder, and whatever a run that was cut short left undone the next one does. What the user has
 * edited stays. The backends follow the config: they listen where its routes for the demos' names point.
 */
import { Effect, FileSystem, Path, type PlatformError, Result, type Scope } from "effect"
import type { Config } from "../config/Config.ts"
import { parseIpAddress, type IpAddress } from "../net/IpAddress.ts"
import { formatSocketAddress, type SocketAddress } from "../net/SocketAddress.ts"
import { parseBackendAddress } from "../snapshot/Endpoint.ts"
import type { Route } from "../snapshot/Snapshot.ts"
import { prepareCertificates, type Certificates } from "./Certificates.ts"
import { CONFIG_FILE, firstConfig } from "./ConfigFile.ts"
import { demoOf, type Demo } from "./Demo.ts"
import { startDemoBackend } from "./DemoBackend.ts"
import { DevserverError } from "./DevserverError.ts"
import { PUBLIC_FILE_MODE, writeWhole } from "./WholeFile.ts"

/** A folder that is ready to be served. Paths are absolute. */
export interface Prepared {
  readonly folder: string
  readonly configFile: string
  /** The config is new: this is the first run. */
  readonly created: boolean
  readonly certificates: Certificates
}

/** Makes of `folder` what is missing or unusable. */
export const prepare = Effect.fn("Devserver.prepare")(function* (
  folder: string
): Effect.fn.Return<Prepared, DevserverError, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const absolute = path.resolve(folder)
  return yield* prepareFolder(absolute).pipe(
    Effect.mapError((error) => {
      const message = `cannot prepare ${absolute}: ${reasonOf(error)}; mend that, or give another folder with --dir`
      return new DevserverError({ message })
    })
  )
})

const prepareFolder = Effect.fnUntraced(function* (folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const configFile = path.join(folder, CONFIG_FILE)
  yield* fileSystem.makeDirectory(folder, { recursive: true })
  const certificates = yield* prepareCertificates(path.join(folder, CERTIFICATES_FOLDER))
  // Last, so that a folder with a config is a whole one.
  const created = !(yield* fileSystem.exists(configFile))
  if (created) yield* writeWhole(configFile, firstConfig(), PUBLIC_FILE_MODE)
  return { folder, configFile, created, certificates } satisfies Prepared
})

/** Beside the config. */
const CERTIFICATES_FOLDER = "certs"

/** The operating system's own words, such as "EACCES: permission denied, mkdir '/srv/x'". */
const reasonOf = ({ reason }: PlatformError.PlatformError): string =>
  reason.cause instanceof Error ? reason.cause.message : reason.message

/** Starts the demos that the config has routes for on this machine; the scope owns them. */
export const startBackends = Effect.fn("Devserver.startBackends")(function* (
  { listeners }: Pick<Config, "listeners">,
  { certificates, configFile }: Prepared
): Effect.fn.Return<void, DevserverError, Scope.Scope> {
  const started = new Set<string>()
  for (const route of listeners.flatMap(({ routes }) => routes)) {
    const place = demoPlaceOf(route)
    const name = place === undefined ? "" : `${place.demo.name} ${formatSocketAddress(place.address)}`
    if (place === undefined || started.has(name)) continue
    started.add(name)
    yield* startDemoBackend(place.demo, certificates.identities[place.demo.name], place.address).pipe(
      Effect.mapError(({ message }) => new DevserverError({ message: `${message} for its route in ${configFile}` }))
    )
  }
})

/** The demo that the devserver runs for a route, and where; `undefined` for a route of the user's own. */
export const demoPlaceOf = (route: Route): { readonly demo: Demo; readonly address: SocketAddress } | undefined => {
  const demo = demoOf(route.hostname)
  const backend = Result.getOrUndefined(parseBackendAddress(route.backend))
  if (demo === undefined || backend === undefined || !speaks(demo, route)) return undefined
  const ip = backend.host === "localhost" ? LOCALHOST : backend.host
  return typeof ip === "string" || !isLoopback(ip) ? undefined : { demo, address: { ip, port: backend.port } }
}

/** Whether the demo speaks what the proxy would with it. */
const speaks = (demo: Demo, route: Route): boolean =>
  route.mode === "l4" ? demo.mode === "l4" : demo.mode === "l7" && route.backendProtocol === "h2" && !route.backendTls

const LOCALHOST = parseIpAddress("127.0.0.1")!

const isLoopback = (ip: IpAddress): boolean => (ip.family === 4 ? ip.w0 >>> 24 === 127 : ip.text === "::1")
