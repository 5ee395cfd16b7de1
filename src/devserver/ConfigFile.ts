/**
 * The config of a first run: every key that this version serves, with its default and a line about it.
 *
 * The file is the user's from then on; nothing writes it again.
 */
import { DEMOS, LISTENER, METRICS, type Demo } from "./Demo.ts"

/** The devserver's folder, where none is asked for. */
export const DEFAULT_FOLDER = "srv/mc-proxy"

export const CONFIG_FILE = "mc-proxy.toml"

/** The file's text. */
export const firstConfig =
  (): string => `# mc-proxy: a TLS proxy on ${LISTENER} in front of ${DEMOS.length} demo backends.
#
# The devserver wrote this once and will not change it: edit it as you like, then start again. Values are the defaults,
# listeners and routes aside. Paths are relative to this file's folder. A scalar outside [[listeners]] can be overridden
# by the environment: MCPROXY_LOG_LEVEL=debug. \`mc-proxy check -c FILE\` says what is wrong with an edit.

[database]
path = "mc-proxy.db"            # required; the first run fills it from this file, and from then on its listeners,
#                                 routes and blocked_… hold: mc-proxy import -c FILE applies later edits of them

[grpc]                          # left out: no admin API
addr = "mc-proxy.sock"          # a Unix socket for this user alone; mcproxyctl, gRPC and curl speak to it

[[listeners]]                   # at least one
addr = "${LISTENER}"         # "ip:port", "[ip6]:port", or ":port" for all addresses
proxy_protocol = false          # true: a connection must start with a PROXY header, v1 or v2
trusted_proxies = []            # IPs and CIDRs that may send one; empty: anyone
max_connections = 0             # more are reset; 0: no limit

${DEMOS.map(route).join("\n")}
[firewall]                      # asked before any byte of the client is read; who is blocked is reset
geoip_db = ""                   # an .mmdb file that tells countries; required with blocked_countries
blocked_ips = []                # "203.0.113.7", "2001:db8::7"
blocked_cidrs = []              # "203.0.113.0/24", "2001:db8::/32"
blocked_countries = []          # "DE": ISO 3166-1, two upper-case letters
rate_limit = 0                  # connections of one address (IPv6: of its /64) in rate_window; 0: no limit
rate_window = "1m"              # how far back rate_limit looks

[proxy]
connect_timeout = "5s"          # to reach a backend, the look-up of its name included
hello_timeout = "10s"           # for the PROXY header and the ClientHello together
handshake_timeout = "10s"       # of TLS that ends here
header_timeout = "30s"          # from a request's first byte to the end of its header; 408
response_timeout = "5m"         # from a request's end to its response's header; 504; "0s": no limit
idle_timeout = "5m"             # no byte either way
half_close_timeout = "30s"      # the same, once one side has finished
shutdown_timeout = "30s"        # connections may go on for so long after a SIGINT or SIGTERM
max_hello_bytes = 65536         # of a ClientHello, record headers included

[log]
level = "info"                  # "debug", "info", "warn" or "error"
format = "text"                 # or "json": one object a line
access = true                   # one line a connection, when it ends, and one a request

[metrics]                       # left out: no endpoint
addr = "${METRICS}"         # "ip:port", ":port" for all addresses; for operators alone, it asks for no password
path = "/metrics"               # for Prometheus; /healthz says whether the proxy accepts
dashboard = true                # the live page at /
`

const route = (demo: Demo): string => (demo.mode === "l4" ? passthrough(demo) : terminating(demo))

const terminating = (demo: Demo): string => `  [[listeners.routes]]
  hostname = "${demo.hostname}"
  backend = "${demo.backend}"   # a demo, too: HTTP/2 in the clear (h2c), and gRPC
  mode = "l7"                   # TLS ends here, and each request is proxied
  tls_cert = "certs/${demo.name}.pem"     # PEM, issuers after it; read again at SIGHUP
  tls_key = "certs/${demo.name}.key"
  backend_protocol = "h2"       # or "http/1.1"
  backend_tls = false           # true: TLS to the backend, too, which is verified
  backend_ca = ""               # with backend_tls: who its certificate is from; empty: the system's roots
  backend_server_name = ""      # with backend_tls: the name it is for; empty: the backend's host
  send_proxy_protocol = false

    [[listeners.routes.l7_policies]]
    type = "block_user_agent"   # or "require_header", with its name
    value = "BadBot"            # anywhere in the User-Agent; such requests are answered 403
`

const passthrough = (demo: Demo): string => `  [[listeners.routes]]
  hostname = "${demo.hostname}"
  backend = "${demo.backend}"   # the devserver starts a demo here, as long as it is a loopback address
  mode = "l4"                   # TLS passes through untouched; the backend has the certificate
  send_proxy_protocol = false   # true: a PROXY header, v2, tells the backend the client's address; a demo shows it
`
