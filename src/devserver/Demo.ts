/**
 * The demos: their names, and where the first config puts them.
 *
 * `example.test` can be nobody's (RFC 6761 6.2), and the ports are ones that an ordinary user may bind.
 */
import { Result } from "effect"
import { parseHostname, type Hostname } from "../snapshot/Hostname.ts"
import type { Route } from "../snapshot/Snapshot.ts"

export interface Demo {
  /** Of its certificate's files. */
  readonly name: "hello" | "echo" | "api"
  readonly hostname: Hostname
  /** `127.0.0.1:port`, until the user edits the config. */
  readonly backend: string
  /** `l4`: it has the certificate itself. `l7`: the proxy has, and it speaks HTTP/2 in the clear. */
  readonly mode: Route["mode"]
}

/** Where the first config listens. */
export const LISTENER = "127.0.0.1:8443"

/** Where the first config tells how the proxy is. */
export const METRICS = "127.0.0.1:9090"

const hostname = (name: string): Hostname => Result.getOrThrow(parseHostname(name))

export const HELLO: Demo = {
  name: "hello",
  hostname: hostname("hello.example.test"),
  backend: "127.0.0.1:18443",
  mode: "l4"
}
export const ECHO: Demo = {
  name: "echo",
  hostname: hostname("echo.example.test"),
  backend: "127.0.0.1:18444",
  mode: "l4"
}
export const API: Demo = { name: "api", hostname: hostname("api.example.test"), backend: "127.0.0.1:18080", mode: "l7" }
export const DEMOS: ReadonlyArray<Demo> = [HELLO, ECHO, API]

/** A name that the first config has no route for. */
export const UNROUTED = hostname("nobody.example.test")

export const demoOf = (name: Hostname): Demo | undefined => DEMOS.find((demo) => demo.hostname === name)
