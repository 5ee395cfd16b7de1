/** The keys of WebSocket handshakes over HTTP/1.1 (RFC 6455 4.1, 4.2.2), which HTTP/2 does without (RFC 8441 5). */
import { Buffer } from "node:buffer"
import { hash, randomBytes } from "node:crypto"

/** What `Sec-WebSocket-Accept` has to say to that `Sec-WebSocket-Key`. */
export const acceptOf = (key: string): string => hash("sha1", key + ACCEPT_GUID, "base64")

/** A key for a handshake of our own. */
export const newKey = (): string => randomBytes(KEY_BYTES).toString("base64")

/** Whether a client's key is the base64 of 16 bytes, in its one canonical form. */
export const isKey = (key: string): boolean => {
  if (key.length !== KEY_LENGTH) return false
  const bytes = Buffer.from(key, "base64")
  return bytes.length === KEY_BYTES && bytes.toString("base64") === key
}

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
const KEY_BYTES = 16
const KEY_LENGTH = 24
