import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import * as fs from "node:fs"
import { parseHostname } from "../../src/snapshot/Hostname.ts"
import { ClientHelloReader, type HelloRead } from "../../src/tls/ClientHello.ts"
import { readWithinBounds } from "../fuzz/GuardedBytes.ts"
import { countReads } from "./CountedBytes.ts"
import {
  clientHello,
  concat,
  inRecords,
  message,
  outOfRecords,
  record,
  serverName,
  serverNames,
  uint16,
  vector16,
  type Extension,
  type HelloShape
} from "./TlsBuilder.ts"

const LIMIT = 65536
const NAME = "client.example.net"

const readWhole = (bytes: Uint8Array, bytesMax = LIMIT): HelloRead => new ClientHelloReader(bytesMax).read(bytes)

/** Shows ever longer prefixes, one a cut, and at last everything. */
const readInSegments = (bytes: Uint8Array, cuts: ReadonlyArray<number>, bytesMax = LIMIT): HelloRead => {
  const reader = new ClientHelloReader(bytesMax)
  for (const cut of [...cuts].sort((a, b) => a - b)) reader.read(bytes.subarray(0, cut))
  return reader.read(bytes)
}

const readByteByByte = (bytes: Uint8Array, bytesMax = LIMIT): HelloRead =>
  readInSegments(bytes, [...bytes.keys()], bytesMax)

/** How many bytes had to be shown for a verdict; one more than there are when there was none. */
const verdictAt = (bytes: Uint8Array, bytesMax = LIMIT): number => {
  const reader = new ClientHelloReader(bytesMax)
  let shown = 0
  while (shown <= bytes.length && reader.read(bytes.subarray(0, shown))._tag === "NeedMore") shown++
  return shown
}

const describeRead = (read: HelloRead): string =>
  read._tag === "Hello" ? read.serverName : read._tag === "Refused" ? read.outcome : "NeedMore"

const fixture = (file: string): Uint8Array => fs.readFileSync(new URL(`hellos/${file}`, import.meta.url))

/** By file: what it reads as, and at which byte when others follow the hello. */
const FIXTURES: ReadonlyArray<readonly [file: string, expected: string, end?: number]> = [
  ["chromium.bin", NAME],
  ["curl-h2.bin", NAME],
  ["gnutls-wget.bin", "localhost"],
  ["jsse17.bin", NAME],
  ["node26.bin", NAME],
  ["node26-tls1.2.bin", NAME],
  ["node26-no-extensions.bin", "no_sni"],
  ["openssl-tls1.0.bin", NAME],
  ["openssl-tls1.1.bin", NAME],
  ["openssl-tls1.2.bin", NAME],
  ["openssl-tls1.3.bin", NAME],
  ["openssl-records-of-512.bin", NAME],
  ["openssl-20k.bin", NAME],
  ["openssl-early-data.bin", NAME, 423],
  ["openssl-no-sni.bin", "no_sni"],
  ["openssl-ip-literal.bin", "no_sni"],
  ["openssl-trailing-dot.bin", NAME]
]

const hello = (...extensions: ReadonlyArray<Extension>): Uint8Array => inRecords(clientHello({ extensions }), [16384])
const shaped = (shape: HelloShape): Uint8Array =>
  inRecords(clientHello({ extensions: [serverName(NAME)], ...shape }), [16384])

const anyRecordSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 16384 })), {
  minLength: 1,
  maxLength: 6
})
const anyFixture = fc.constantFrom(...FIXTURES.map(([file]) => file))
const anyLabel = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,20}$/)
const anyName = fc.array(anyLabel, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."))
const anyExtension: fc.Arbitrary<Extension> = fc.tuple(
  fc.integer({ min: 1, max: 0xffff }),
  fc.uint8Array({ maxLength: 300 })
)

describe("hellos of real clients", () => {
  for (const [file, expected, end] of FIXTURES) {
    it(`reads ${file} once it is whole, and not before`, () => {
      const bytes = fixture(file)
      assert.strictEqual(verdictAt(bytes), end ?? bytes.length)
      assert.strictEqual(describeRead(readWhole(bytes)), expected)
      assert.strictEqual(describeRead(readWhole(concat(bytes, fixture("chromium.bin")))), expected)
    })
  }

  it("has a fixture on the list for each file", () => {
    const files = fs.readdirSync(new URL("hellos/", import.meta.url)).filter((file) => file.endsWith(".bin"))
    assert.sameMembers(
      files,
      FIXTURES.map(([file]) => file)
    )
  })

  it("are read alike in records of any size and segments of any size", () => {
    const property = fc.property(anyFixture, anyRecordSizes, fc.infiniteStream(fc.nat()), (file, sizes, cuts) => {
      const bytes = fixture(file)
      const resized = inRecords(outOfRecords(bytes), sizes)
      const points = [...cuts.take(10)].map((cut) => cut % (resized.length + 1))
      // Records of a byte or two make of the largest fixture more bytes than the usual limit.
      assert.deepStrictEqual(readInSegments(resized, points, resized.length), readWhole(bytes))
    })
    fc.assert(property, { numRuns: 300 })
  })
})

describe("any bytes", () => {
  /** A fixture or hello with some bytes changed, removed or put in. */
  const anyMutant = fc
    .tuple(
      fc.oneof(
        fc.constantFrom(...FIXTURES.map(([file]) => fixture(file)).filter((bytes) => bytes.length < 3000)),
        anyRecordSizes.map((sizes) => inRecords(clientHello({ extensions: [serverName(NAME)] }), sizes))
      ),
      fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.uint8Array({ maxLength: 3 })), { minLength: 1, maxLength: 4 })
    )
    .map(([bytes, edits]) =>
      edits.reduce((current, [position, removed, inserted]) => {
        // Half of the edits fall on the headers and lengths at the front.
        const at = position % (position % 2 === 0 ? Math.min(64, current.length + 1) : current.length + 1)
        return concat(current.subarray(0, at), inserted, current.subarray(at + removed))
      }, bytes)
    )

  it("get one verdict, whatever the split and the limit, and whatever stands beside them", () => {
    const seen = new Set<string>()
    const property = fc.property(
      fc.oneof({ weight: 9, arbitrary: anyMutant }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) }),
      fc.oneof(fc.constant(LIMIT), fc.nat(3000)),
      fc.infiniteStream(fc.nat()),
      (bytes, bytesMax, cuts) => {
        const points = [...cuts.take(10)].map((cut) => cut % (bytes.length + 1))
        const whole = readWithinBounds(bytes, (within) => {
          const read = readWhole(within, bytesMax)
          assert.deepStrictEqual(readInSegments(within, points, bytesMax), read)
          return read
        })
        assert.deepStrictEqual(readByteByByte(bytes, bytesMax), whole)
        seen.add(whole._tag === "Hello" ? "Hello" : describeRead(whole))
      }
    )
    fc.assert(property, { numRuns: 2000 })
    assert.sameMembers([...seen], ["NeedMore", "Hello", "not_tls", "hello_too_large", "no_sni"])
  })

  it("get one as soon as there are as many as the limit allows", () => {
    const property = fc.property(anyMutant, fc.integer({ min: 5, max: 3000 }), (bytes, bytesMax) => {
      fc.pre(bytes.length >= bytesMax)
      assert.notStrictEqual(readWhole(bytes.subarray(0, bytesMax), bytesMax)._tag, "NeedMore")
    })
    fc.assert(property, { numRuns: 500 })
  })

  it("keep the verdict they have, whatever follows", () => {
    const property = fc.property(anyMutant, fc.uint8Array({ maxLength: 100 }), (bytes, more) => {
      const verdict = readWhole(bytes)
      fc.pre(verdict._tag !== "NeedMore")
      const reader = new ClientHelloReader(LIMIT)
      reader.read(bytes)
      assert.strictEqual(reader.read(concat(bytes, more)), reader.read(bytes))
      assert.deepStrictEqual(readWhole(concat(bytes, more)), verdict)
    })
    fc.assert(property, { numRuns: 300 })
  })
})

describe("a well-formed hello", () => {
  it("gives back the name it was made with, in canonical form", () => {
    const property = fc.property(
      anyName,
      fc.array(anyExtension, { maxLength: 6 }),
      fc.nat(),
      fc.uint8Array({ maxLength: 32 }),
      anyRecordSizes,
      (name, others, position, sessionId, sizes) => {
        const extensions = others.toSpliced(position % (others.length + 1), 0, serverName(name))
        const bytes = inRecords(clientHello({ sessionId, extensions }), sizes)
        assert.deepStrictEqual(readWhole(bytes), {
          _tag: "Hello",
          serverName: Result.getOrThrow(parseHostname(name))
        })
      }
    )
    fc.assert(property, { numRuns: 500 })
  })

  it("may be followed in its record, and after it, by anything", () => {
    const wanted = describeRead(readWhole(hello(serverName(NAME))))
    const whole = clientHello({ extensions: [serverName(NAME)] })
    assert.strictEqual(describeRead(readWhole(record(22, concat(whole, whole)))), wanted)
    assert.strictEqual(describeRead(readWhole(concat(record(22, whole), record(23, Uint8Array.of(1, 2))))), wanted)
    assert.strictEqual(describeRead(readWhole(concat(record(22, whole), Uint8Array.of(0)))), wanted)
    assert.strictEqual(describeRead(readWhole(inRecords(concat(whole, whole), [50]))), wanted)
  })

  it("with an encrypted inner hello is known by its outer name", () => {
    const inner = concat(Uint8Array.of(0, 0, 1), vector16(serverName("inner.example.net")[1]))
    assert.strictEqual(describeRead(readWhole(hello([0xfe0d, inner], serverName(NAME)))), NAME)
    assert.strictEqual(describeRead(readWhole(hello([0xfe0d, inner]))), "no_sni")
  })

  it("may have entries of other types beside its host name", () => {
    const other = [1, Buffer.from("else")] as const
    assert.strictEqual(describeRead(readWhole(hello(serverNames(other, [0, Buffer.from(NAME)], other)))), NAME)
  })

  it("may state any version of major 3, in the message and in the record", () => {
    for (const legacyVersion of [0x0300, 0x0301, 0x0303, 0x03ff]) {
      assert.strictEqual(describeRead(readWhole(shaped({ legacyVersion }))), NAME)
    }
    const record3 = hello(serverName(NAME))
    record3[2] = 3
    assert.strictEqual(describeRead(readWhole(record3)), NAME)
  })

  it("has a name of at most 253 characters and a trailing dot", () => {
    const longest = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`
    assert.strictEqual(longest.length, 253)
    assert.strictEqual(describeRead(readWhole(hello(serverName(longest)))), longest)
    assert.strictEqual(describeRead(readWhole(hello(serverName(`${longest}.`)))), longest)
    assert.strictEqual(describeRead(readWhole(hello(serverName(`${longest}d`)))), "no_sni")
    assert.strictEqual(describeRead(readWhole(hello(serverName(`${longest}d.`)))), "no_sni")
  })
})

describe("no_sni", () => {
  const CASES: ReadonlyArray<readonly [what: string, bytes: Uint8Array]> = [
    ["no extensions at all", inRecords(clientHello({}), [16384])],
    ["an empty list of extensions", hello()],
    ["no server_name among the extensions", hello([23, new Uint8Array(0)])],
    ["an empty list of names", hello(serverNames())],
    ["names of other types only", hello(serverNames([1, Buffer.from(NAME)]))],
    ["an empty name", hello(serverName(""))],
    ["a dot for a name", hello(serverName("."))],
    ["an IPv4 address", hello(serverName("192.0.2.1"))],
    ["an IPv6 address", hello(serverName("2001:db8::1"))],
    ["a wildcard", hello(serverName("*.example.net"))],
    ["a port", hello(serverName("client.example.net:443"))],
    ["an empty label", hello(serverName("client..example.net"))],
    ["a NUL in the name", hello(serverName("client.example.net\0.evil.example"))],
    ["a byte over 127", hello(serverName("client.exämple.net"))],
    ["a UTF-8 letter whose lower case is ASCII", hello(serverNames([0, Buffer.from("\u212Aelvin.example", "utf8")]))],
    ["a name of 60 KB", inRecords(clientHello({ extensions: [serverName("a".repeat(60_000))] }), [16384])],
    ["the same name twice", hello(serverName(NAME, NAME))],
    ["two names", hello(serverName(NAME, "other.example.net"))],
    ["two server_name extensions", hello(serverName(NAME), [23, new Uint8Array(0)], serverName(NAME))],
    ["three server_name extensions", hello(serverName(NAME), serverName(NAME), serverName(NAME))],
    ["a server_name extension after an empty one", hello(serverNames(), serverName(NAME))]
  ]
  for (const [what, bytes] of CASES) {
    it(`refuses ${what}`, () => {
      assert.strictEqual(describeRead(readWhole(bytes)), "no_sni")
      assert.strictEqual(verdictAt(bytes), bytes.length)
    })
  }
})

describe("not_tls", () => {
  const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1")
  const whole = clientHello({ extensions: [serverName(NAME)] })
  const start = record(22, whole.subarray(0, 20))

  /** The verdict comes with the byte that shows it. */
  const AT_ONCE: ReadonlyArray<readonly [what: string, bytes: Uint8Array, at: number]> = [
    ["HTTP", ascii("GET / HTTP/1.1\r\n"), 1],
    ["SSH", ascii("SSH-2.0-OpenSSH_9.9\r\n"), 1],
    ["a PROXY protocol v2 header", ascii("\r\n\r\n\0\r\nQUIT\n"), 1],
    ["an SSL 2.0 hello", Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10), 1],
    ["an alert record", record(21, Uint8Array.of(2, 40)), 1],
    ["application data", record(23, whole), 1],
    ["DTLS", Uint8Array.of(22, 0xfe, 0xfd, 0, 0, 0, 0), 2],
    ["an empty first record", record(22, new Uint8Array(0)), 5],
    ["an empty record inside the hello", concat(start, record(22, new Uint8Array(0))), start.length + 5],
    ["an alert inside the hello", concat(start, record(21, Uint8Array.of(2, 40))), start.length + 1],
    ["another version inside the hello", concat(start, Uint8Array.of(22, 2)), start.length + 2],
    ["a record of more than 2^14 bytes", concat(Uint8Array.of(22, 3, 1, 0x40, 1), whole), 5],
    ["a HelloRequest", record(22, message(0, new Uint8Array(0))), 6],
    ["a ServerHello", record(22, message(2, whole)), 6]
  ]
  for (const [what, bytes, at] of AT_ONCE) {
    it(`refuses ${what} at byte ${at}`, () => {
      assert.strictEqual(describeRead(readWhole(bytes)), "not_tls")
      assert.strictEqual(verdictAt(bytes), at)
    })
  }

  const someNames = serverName(NAME)[1]
  const WHEN_WHOLE: ReadonlyArray<readonly [what: string, bytes: Uint8Array]> = [
    ["an empty message", record(22, message(1, new Uint8Array(0)))],
    ["a message cut short by its own length", record(22, message(1, whole.subarray(4, -1)))],
    ["a message that ends within its fixed part", record(22, message(1, whole.subarray(4, 38)))],
    ["another major version", shaped({ legacyVersion: 0x0403 })],
    ["a session id of 33 bytes", shaped({ sessionId: new Uint8Array(33) })],
    ["an odd length of cipher suites", shaped({ cipherSuites: new Uint8Array(3) })],
    ["no cipher suite", shaped({ cipherSuites: new Uint8Array(0) })],
    ["no compression method", shaped({ compressionMethods: new Uint8Array(0) })],
    ["bytes after the extensions", shaped({ trailer: Uint8Array.of(0) })],
    ["half a length of extensions", inRecords(clientHello({ trailer: Uint8Array.of(0) }), [16384])],
    ["extensions longer than the message", inRecords(clientHello({ trailer: uint16(1) }), [16384])],
    ["half an extension's header", inRecords(clientHello({ trailer: vector16(Uint8Array.of(0, 0, 0)) }), [16384])],
    ["an extension past the end", inRecords(clientHello({ trailer: vector16(Uint8Array.of(0, 23, 0, 1)) }), [16384])],
    ["a server_name extension without a list", hello([0, new Uint8Array(0)])],
    ["a list of names longer than its extension", hello([0, concat(uint16(someNames.length - 1), someNames.slice(2))])],
    ["a list of names shorter than its extension", hello([0, concat(someNames, Uint8Array.of(0))])],
    ["a name past its list", hello([0, vector16(Uint8Array.of(0, 0, 3, 97, 98))])],
    ["half an entry of a list", hello([0, vector16(Uint8Array.of(0, 0))])],
    ["a broken list after a good one", hello(serverName(NAME), [0, vector16(Uint8Array.of(0))])],
    [
      "a broken extension after a repeated name",
      shaped({ trailer: Uint8Array.of(1), extensions: [serverName("a", "a")] })
    ]
  ]
  for (const [what, bytes] of WHEN_WHOLE) {
    it(`refuses ${what}`, () => {
      assert.strictEqual(describeRead(readWhole(bytes)), "not_tls")
      assert.strictEqual(verdictAt(bytes), bytes.length)
    })
  }

  it("takes sizes at the edge of the form", () => {
    assert.strictEqual(describeRead(readWhole(shaped({ sessionId: new Uint8Array(0) }))), NAME)
    const padding: Extension = [21, new Uint8Array(16384 - clientHello({ extensions: [serverName(NAME)] }).length - 4)]
    const full = clientHello({ extensions: [serverName(NAME), padding] })
    assert.strictEqual(full.length, 16384)
    assert.strictEqual(describeRead(readWhole(record(22, full))), NAME)
  })

  it("comes before the limit is looked at", () => {
    assert.strictEqual(describeRead(readWhole(ascii("GET / HTTP/1.1\r\n"), 1)), "not_tls")
    assert.strictEqual(describeRead(readWhole(Uint8Array.of(22, 3, 1, 0x40, 1), 100)), "not_tls")
    assert.strictEqual(describeRead(readWhole(record(22, message(2, new Uint8Array(1000))), 100)), "not_tls")
  })
})

describe("hello_too_large", () => {
  it("is decided by the hello's last byte, record headers included, and no later one", () => {
    const property = fc.property(anyFixture, anyRecordSizes, (file, sizes) => {
      const bytes = fixture(file)
      const resized = inRecords(outOfRecords(bytes), sizes)
      assert.deepStrictEqual(readWhole(concat(resized, new Uint8Array(99)), resized.length), readWhole(bytes))
      assert.strictEqual(describeRead(readWhole(resized, resized.length - 1)), "hello_too_large")
    })
    fc.assert(property, { numRuns: 200 })
  })

  it("comes with the message's length when that alone must exceed the limit", () => {
    const whole = clientHello({ extensions: [serverName(NAME)] })
    const bytes = inRecords(whole, [20])
    assert.strictEqual(verdictAt(bytes, 5 + whole.length), 9)
    // 20 bytes a record need more headers than the one that the length needs: not certain before the record's own.
    assert.strictEqual(verdictAt(bytes, 10 + whole.length), 30)
    assert.strictEqual(describeRead(readWhole(bytes.subarray(0, 30), 10 + whole.length)), "hello_too_large")
  })

  it("counts the headers of the records that a long message must have", () => {
    const long = clientHello({ extensions: [serverName(NAME), [21, new Uint8Array(20_000)]] })
    const bytes = inRecords(long, [16384])
    assert.strictEqual(bytes.length, long.length + 10)
    assert.strictEqual(verdictAt(bytes, bytes.length - 1), 9)
    assert.strictEqual(describeRead(readWhole(bytes, bytes.length)), NAME)
  })

  it("is not concluded from a record longer than the limit, in which a shorter hello may end", () => {
    const whole = clientHello({ extensions: [serverName(NAME)] })
    const bytes = record(22, concat(whole, new Uint8Array(5000)))
    assert.strictEqual(describeRead(readWhole(bytes, 5 + whole.length)), NAME)
  })

  it("is what a later flaw no longer changes", () => {
    const bytes = concat(record(22, message(1, new Uint8Array(1000)).subarray(0, 50)), record(21, Uint8Array.of(2, 40)))
    assert.strictEqual(describeRead(readWhole(bytes, 500)), "hello_too_large")
    assert.strictEqual(describeRead(readWhole(bytes)), "not_tls")
  })

  it("stops a hello in records of one byte, whose headers outweigh it", () => {
    const bytes = inRecords(clientHello({ extensions: [serverName(NAME), [21, new Uint8Array(20_000)]] }), [1])
    assert.strictEqual(describeRead(readWhole(bytes)), "hello_too_large")
  })
})

describe("work", () => {
  it("is linear in the bytes, one a segment and one a record", () => {
    const bytes = inRecords(clientHello({ extensions: [serverName(NAME), [21, new Uint8Array(10_000)]] }), [1])
    const reader = new ClientHelloReader(LIMIT)
    let reads = 0
    for (let shown = 1; shown < bytes.length; shown++) {
      const counted = countReads(bytes.subarray(0, shown))
      assert.strictEqual(reader.read(counted.bytes)._tag, "NeedMore")
      reads += counted.reads()
    }
    assert.isAtMost(reads, 10 * bytes.length)
    assert.strictEqual(describeRead(reader.read(bytes)), NAME)
  })
})
