/**
 * Asks all at once on HTTP/1.1, before anything is answered (RFC 9112 9.3.2), which Node's client does not do. Answers are
 * read as plain text, in order, each by its own framing.
 */
import { authorityOf, begin, fieldsOf, finish } from "./WebAsking.ts"
import { pathOf } from "./WebPlan.ts"
import { BACKEND_FIELD, trailerName, type RequestRecord } from "./WebRecords.ts"
import type { Talk } from "./WebTalk.ts"

export const pipeline = ({ client, duplex, journal, records }: Talk, over: () => void): void => {
  let text = ""
  let at = 0
  let answered = 0
  const take = (isLast: boolean): void => {
    for (let record = records[answered]; record !== undefined; record = records[answered]) {
      const answer = readAnswer(text, at, record.plan.method)
      if (answer === undefined || !(answer.isWhole || isLast)) return
      at = answer.end
      answered++
      note(record, answer)
      finish(record, answer.isWhole, journal)
    }
  }
  const read = (bytes: Buffer): void => {
    text += bytes.toString("latin1")
    take(false)
    if (answered < records.length) return
    duplex.off("data", read)
    over()
  }
  duplex.on("data", read)
  duplex.on("close", () => {
    take(true)
    for (const record of records.slice(answered)) finish(record, false, journal)
  })
  for (const record of records) begin(record, journal)
  duplex.write(
    records
      .map((record) => {
        const fields = [["host", authorityOf(client, record)], ...fieldsOf(record)]
        const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")
        return `${record.plan.method} ${pathOf(record.client, record.index)} HTTP/1.1\r\n${lines}\r\n`
      })
      .join("")
  )
}

const note = (record: RequestRecord, { body, fields, status }: Answer): void => {
  record.statuses.push(status)
  record.isBackends = fields.has(BACKEND_FIELD)
  record.body.push(Buffer.from(body, "latin1"))
  record.trailer = fields.get(trailerName(record.plan)) ?? ""
}

interface Answer {
  readonly status: number
  /** Trailers, too. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: string
  readonly isWhole: boolean
  readonly end: number
}

/** The final answer that begins there; `undefined` while its head is not whole. */
const readAnswer = (text: string, at: number, method: string): Answer | undefined => {
  const headEnd = text.indexOf("\r\n\r\n", at)
  if (headEnd < 0) return undefined
  const status = Number(text.slice(at + VERSION_LENGTH, at + VERSION_LENGTH + 3))
  const start = headEnd + 4
  if (status < 200) return readAnswer(text, start, method)
  const fields = readFields(text.slice(at, headEnd))
  const length = method === "HEAD" || status === 204 ? "0" : fields.get("content-length")
  if (length === undefined) return readChunks(text, start, status, fields)
  const end = start + Number(length)
  return { status, fields, body: text.slice(start, end), isWhole: text.length >= end, end }
}

const VERSION_LENGTH = "HTTP/1.1 ".length

const readFields = (lines: string): ReadonlyMap<string, string> =>
  new Map(
    [...lines.matchAll(/^([^:\r\n]+): (.*)$/gm)].map(([, name = "", value = ""]) => [name.toLowerCase(), value.trim()])
  )

const readChunks = (text: string, start: number, status: number, head: ReadonlyMap<string, string>): Answer => {
  let body = ""
  let at = start
  const cut = (): Answer => ({ status, fields: head, body, isWhole: false, end: text.length })
  while (true) {
    const lineEnd = text.indexOf("\r\n", at)
    if (lineEnd < 0) return cut()
    const length = parseInt(text.slice(at, lineEnd), 16)
    if (length === 0) {
      const end = text.indexOf("\r\n\r\n", lineEnd)
      if (end < 0) return cut()
      const fields = new Map([...head, ...readFields(text.slice(lineEnd, end))])
      return { status, fields, body, isWhole: true, end: end + 4 }
    }
    body += text.slice(lineEnd + 2, lineEnd + 2 + length)
    at = lineEnd + 2 + length + 2
  }
}
