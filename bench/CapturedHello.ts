/** A ClientHello as this Node's own TLS client sends it; at the time of writing 1.6 KB, with a post-quantum key. */
import { Duplex } from "node:stream"
import { connect } from "node:tls"

export const captureHello = (serverName: string): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const wire = new Duplex({
      read() {},
      write(bytes: Buffer, _encoding, done) {
        resolve(bytes)
        done()
        // The first bytes are written from within `connect`.
        queueMicrotask(() => client.destroy())
      }
    })
    const client = connect({ socket: wire, servername: serverName, ALPNProtocols: ["h2", "http/1.1"] })
    client.on("error", reject)
  })
