/**
 * The two demos: their names, and where the first config puts them.
 *
 * `example.test` can be nobody's (RFC 6761 6.2), and the ports are ones that an ordinary user may bind.
 */
import { Result } from "effect"
import { parseHostname, type Hostname } from "../snapshot/Hostname.ts"

export interface Demo {
  /** Of its certificate's files. */
  readonly name: "hello" | "echo"
  readonly hostname: Hostname
  /** `127.0.0.1:port`, until the user edits the config. */
  readonly backend: string
}

/** Where the first config listens. */
export const LISTENER = "127.0.0.1:8443"

/** Where the first config tells how the proxy is. */
export const METRICS = "127.0.0.1:9090"

const hostname = (name: string): Hostname => Result.getOrThrow(parseHostname(name))

export const HELLO: Demo = { name: "hello", hostname: hostname("hello.example.test"), backend: "127.0.0.1:18443" }
export const ECHO: Demo = { name: "echo", hostname: hostname("echo.example.test"), backend: "127.0.0.1:18444" }
export const DEMOS: ReadonlyArray<Demo> = [HELLO, ECHO]

/** A name that the first config has no route for. */
export const UNROUTED = hostname("nobody.example.test")

export const demoOf = (name: Hostname): Demo | undefined => DEMOS.find((demo) => demo.hostname === name)
