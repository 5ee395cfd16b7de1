import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { withForwarded } from "../../src/l7/ForwardedFields.ts"
import { parseIpAddress } from "../../src/net/IpAddress.ts"
import { customField, flat } from "./RandomFields.ts"

const client = parseIpAddress("2001:db8::7")!

const OURS = [
  "x-forwarded-for",
  "2001:db8::7",
  "x-forwarded-proto",
  "https",
  "x-forwarded-host",
  "api.example.net:8443",
  "x-real-ip",
  "2001:db8::7"
]

const names = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]

const forged = fc
  .constantFrom(...names, ...names.map((name) => name.replaceAll("-", "_")), "x_forwarded-for")
  .map((name) => [name, "192.0.2.1"] as const)

it("says who the client is once, whatever the client said, and keeps every other field in its place", () => {
  const custom = fc.array(fc.oneof(customField, fc.constant(["x-forwarded", "1"] as const)), { maxLength: 6 })
  fc.assert(
    fc.property(custom, fc.array(fc.tuple(forged, fc.nat()), { maxLength: 6 }), (fields, forgeries) => {
      const sent = [...fields]
      for (const [field, at] of forgeries) sent.splice(at % (sent.length + 1), 0, field)
      const told = withForwarded(flat(sent), client, "api.example.net:8443")
      assert.deepStrictEqual(told, [...flat(fields), ...OURS])
      assert.deepStrictEqual(withForwarded(told, client, "api.example.net:8443"), told)
    })
  )
})
