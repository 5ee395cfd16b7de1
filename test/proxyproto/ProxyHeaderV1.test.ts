import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ipv4FromWord, ipv6FromWords, type IpAddress } from "../../src/net/IpAddress.ts"
import { readProxyHeader } from "../../src/proxyproto/ProxyHeader.ts"
import { PROXY_V1_BYTES_MAX } from "../../src/proxyproto/ProxyHeaderV1.ts"
import { readText, verdictAt } from "./ProxyHeaders.ts"

const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1")
const readLine = (text: string): string => readText(ascii(text))

const BAD_KEYWORD = "does not start as PROXY TCP4, PROXY TCP6 or PROXY UNKNOWN"
const BAD_BYTE = "has a byte that no address or port has, or a CR or LF alone"
const BAD_FIELDS = "is not two addresses of its family and two ports, one space apart"
const NO_LINE_END = "has no CRLF within 107 bytes"

const anyWord = fc.integer()
const anyPort = fc.nat(65535)
const anyIpv4 = anyWord.map(ipv4FromWord)
const anyIpv6 = fc.tuple(fc.integer({ min: 1 }), anyWord, anyWord, anyWord).map((words) => ipv6FromWords(...words))
const anyPair = (anyIp: fc.Arbitrary<IpAddress>) => fc.tuple(anyIp, anyIp)

describe("a v1 line", () => {
  it("gives both ends", () => {
    assert.strictEqual(
      readLine("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n"),
      "47 192.168.0.1:56324 -> 192.168.0.11:443"
    )
    assert.strictEqual(readLine("PROXY TCP6 2001:DB8:0:0::1 ::1 0 65535\r\n"), "40 [2001:db8::1]:0 -> [::1]:65535")
  })

  it("is read as it was written, for any addresses and ports", () => {
    const property = fc.property(
      fc.oneof(anyPair(anyIpv4), anyPair(anyIpv6)),
      anyPort,
      anyPort,
      ([client, destination], clientPort, destinationPort) => {
        const fields = `${client.text} ${destination.text} ${clientPort} ${destinationPort}`
        const line = ascii(`PROXY TCP${client.family} ${fields}\r\n`)
        assert.deepStrictEqual(readProxyHeader(line), {
          _tag: "Header",
          length: line.length,
          client: { ip: client, port: clientPort },
          destination: { ip: destination, port: destinationPort },
          local: false
        })
      }
    )
    fc.assert(property)
  })

  it("gives an IPv4-mapped address as its IPv4 address", () => {
    assert.strictEqual(readLine("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 5 6\r\n"), "45 192.0.2.1:5 -> [2001:db8::1]:6")
  })

  it("of the longest addresses fits", () => {
    const ip = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"
    assert.strictEqual(readLine(`PROXY TCP6 ${ip} ${ip} 65535 65535\r\n`), `104 [${ip}]:65535 -> [${ip}]:65535`)
  })
})

describe("UNKNOWN", () => {
  it("leaves the peer's own address to count, whatever follows it", () => {
    assert.strictEqual(readLine("PROXY UNKNOWN\r\n"), "15 none -> none local")
    assert.strictEqual(readLine("PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n"), "39 none -> none local")
    assert.strictEqual(readLine("PROXY UNKNOWN \r\r \n\xff\0\r\nmore\r\n"), "22 none -> none local")
  })

  it("is a word of its own", () => {
    assert.strictEqual(readLine("PROXY UNKNOWNS\r\n"), BAD_KEYWORD)
    assert.strictEqual(readLine("PROXY UNKNOWN\n"), BAD_KEYWORD)
    assert.strictEqual(readLine("PROXY UNKNOWN\r\r\n"), BAD_KEYWORD)
  })

  it("ends within 107 bytes, CRLF included", () => {
    const line = (length: number) => `${"PROXY UNKNOWN ".padEnd(length - 2, "x")}\r\n`
    assert.strictEqual(PROXY_V1_BYTES_MAX, 107)
    assert.strictEqual(readLine(line(107)), "107 none -> none local")
    assert.strictEqual(readLine(line(108)), NO_LINE_END)
    assert.strictEqual(verdictAt(ascii(line(108))), 106)
    assert.strictEqual(readLine("PROXY UNKNOWN ".padEnd(105, "x")), "NeedMore")
    assert.strictEqual(readLine("PROXY UNKNOWN ".padEnd(105, "x") + "\r"), "NeedMore")
  })
})

describe("what is no v1 line", () => {
  const cases = (reason: string, lines: ReadonlyArray<string>) => {
    for (const line of lines) {
      it(`${JSON.stringify(line)} ${reason}`, () => assert.strictEqual(readLine(line), reason))
    }
  }

  cases(BAD_KEYWORD, [
    "PROXYTCP4 ",
    "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY TCP5",
    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY\r\n",
    "PROXY TCP4\r\n",
    "PROXZ"
  ])
  cases(BAD_BYTE, [
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
    "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
    "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
    "PROXY TCP4 host/",
    "PROXY TCP4 1;",
    "PROXY TCP6 @",
    "PROXY TCP6 g",
    "PROXY TCP6 `"
  ])
  cases(BAD_FIELDS, [
    "PROXY TCP4 \r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 100000\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 a\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
    "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n",
    "PROXY TCP4 ::1 ::1 1 2\r\n",
    "PROXY TCP4 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY TCP6 2001:db8::1 192.0.2.2 1 2\r\n",
    "PROXY TCP6 2001:db8::1::2 ::1 1 2\r\n",
    "PROXY TCP6 12345::1 ::1 1 2\r\n"
  ])
  cases(NO_LINE_END, ["PROXY TCP4 ".padEnd(106, "1"), "PROXY TCP6 ".padEnd(120, ":"), "PROXY UNKNOWN ".padEnd(107)])

  it("is told by the byte that shows it", () => {
    assert.strictEqual(verdictAt(ascii("PROXY TCP4 192.0.2.1\nmore")), 21)
    assert.strictEqual(verdictAt(ascii("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rmore")), 36)
    assert.strictEqual(verdictAt(ascii("PROXIED")), 5)
    assert.strictEqual(verdictAt(ascii("PROXY TCP6 ".padEnd(200, ":"))), 106)
  })
})
