/** How a connection ended. Each accepted connection has exactly one; it is a metric's label and a word in the logs. */

export const OUTCOMES = [
  /** The listener had as many connections as it may. */
  "max_connections",
  /** The proxy's descriptor budget was used up. */
  "descriptors",
  /** A peer that is no trusted proxy came to a listener that expects a PROXY header. */
  "untrusted_proxy",
  /** The PROXY header was missing or malformed. */
  "proxy_header",
  /** The firewall has a rule for the address. */
  "blocked_ip",
  /** The firewall has a rule for a network the address is in. */
  "blocked_cidr",
  /** The firewall has a rule for the address's country. */
  "blocked_country",
  /** The address has made as many connections as it may for now. */
  "rate_limited",
  /** The first bytes were no TLS handshake record, or the message no well-formed ClientHello. */
  "not_tls",
  /** The ClientHello was longer than the limit, or said that it would be. */
  "hello_too_large",
  /** The PROXY header and the ClientHello were not there in time. */
  "hello_timeout",
  /** The client finished before its ClientHello was whole. */
  "client_closed",
  /** The ClientHello had no server name, or none that could be a route's. */
  "no_sni",
  /** The listener has no route for the name. */
  "no_route",
  /** L4: the backend refused, could not be reached, or has no address. */
  "dial_failed",
  /** L4: the backend did not answer the dial in time. */
  "dial_timeout",
  /** L7: the TLS handshake failed. */
  "handshake_failed",
  /** L7: the TLS handshake took too long. */
  "handshake_timeout",
  /** L7: the route's certificate is not loaded. */
  "certificate_unavailable",
  /** Both sides finished. */
  "done",
  /** No byte either way for too long. */
  "idle_timeout",
  /** One side finished, and then no byte for too long. */
  "half_close_timeout",
  /** The client or the backend reset. */
  "reset",
  /** Closed through the admin API. */
  "closed_by_admin",
  /** Still there when the shutdown's deadline passed. */
  "shutdown",
  /** A defect of the proxy's own. */
  "internal"
] as const

export type Outcome = (typeof OUTCOMES)[number]
