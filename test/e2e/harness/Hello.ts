/** ClientHellos to send by hand. */
import { clientHello, inRecords, serverName } from "../../tls/TlsBuilder.ts"

/** A small TLS hello for a name, in one record or in records of `recordBytes`. */
export const hello = (name: string, recordBytes = 16384): Uint8Array =>
  inRecords(clientHello({ extensions: [serverName(name)] }), [recordBytes])
