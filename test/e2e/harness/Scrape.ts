/** The metrics address, asked as a collector and a health check ask it. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http"
import { text } from "node:stream/consumers"
import type { Proxy } from "./Proxy.ts"
import { within } from "./Watch.ts"

/** A page of metrics. */
export class Page {
  readonly text: string
  /** By the text of the series, labels included: `mcproxy_routes{listener=":443"}`. */
  readonly values: ReadonlyMap<string, number>

  constructor(text: string) {
    this.text = text
    const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    this.values = new Map(
      samples.map((line) => {
        const space = line.lastIndexOf(" ")
        return [line.slice(0, space), Number(line.slice(space + 1))]
      })
    )
    assert.strictEqual(this.values.size, samples.length, "no series twice")
  }

  /** One series that must be there. */
  get(series: string): number {
    const value = this.values.get(series)
    assert(value !== undefined, `${series} is on the page:\n${this.text}`)
    return value
  }

  /** Every series of a metric that is not 0, without the metric's name. */
  of(name: string): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...this.values].flatMap(([series, value]) =>
        series.startsWith(`${name}{`) && value !== 0 ? [[series.slice(name.length), value]] : []
      )
    )
  }
}

export const scrape = (proxy: Proxy): Effect.Effect<Page> =>
  Effect.map(get(proxy, "/metrics"), ({ body, status }) => {
    assert.strictEqual(status, 200)
    return new Page(body)
  })

/** Scrapes until the page is as it should be. What is counted last is counted after the client has seen its end. */
export const scrapeUntil = (proxy: Proxy, what: string, found: (page: Page) => boolean): Effect.Effect<Page> =>
  scrape(proxy).pipe(Effect.repeat({ until: found }), within(what))

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Question {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Asks on a connection of its own, which is closed behind the answer. */
export const get = (proxy: Proxy, path: string, question: Question = {}): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const asked = request(`http://${proxy.metricsAddress}${path}`, { ...question, agent: false, signal })
    const [response] = (await once(asked.end(), "response")) as [IncomingMessage]
    const body = await text(response)
    return { status: response.statusCode ?? 0, headers: response.headers, body }
  }).pipe(within(`an answer to ${path}`))
