// The live page: reads an event a second, and shows it. Text goes into the page as text, never as markup.
"use strict"

/** Five minutes of events. */
const HISTORY_MAX = 300

/** Of a chart without its legend, in pixels. */
const HEIGHT = 210

const LISTENERS_CHARTED_MAX = 4

const byId = (id) => document.getElementById(id)
const setText = (id, text) => (byId(id).textContent = text)

const formatCount = (count) => Intl.NumberFormat("en", { maximumFractionDigits: 1 }).format(count)

const formatBytes = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let unit = 0
  for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1000
  return `${formatCount(bytes)} ${units[unit]}`
}

const formatTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB")

const formatAverage = (sumMs, count) => (count === 0 ? "" : `${formatCount(sumMs / count)} ms`)

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
const COLORS = ["first", "second", "third", "fourth"]

/** A chart over time, of as many lines as there are labels. */
class Chart {
  constructor(id, labels, format) {
    this.place = byId(id)
    this.labels = labels
    this.format = format
    this.columns = [[], ...labels.map(() => [])]
    this.draw()
    new ResizeObserver(() => this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT })).observe(this.place)
  }

  draw() {
    this.plot?.destroy()
    const axis = { stroke: color("soft"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false } }
    const options = {
      width: this.place.clientWidth,
      height: HEIGHT,
      cursor: { points: { size: 6 } },
      scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
      legend: { live: false },
      axes: [
        { ...axis, space: 90, values: (_, ticks) => ticks.map(formatTime) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map(this.format) }
      ],
      series: [
        {},
        ...this.labels.map((label, i) => ({
          label,
          stroke: color(COLORS[i]),
          fill: `${color(COLORS[i])}22`,
          width: 2,
          points: { show: false }
        }))
      ]
    }
    this.plot = new uPlot(options, this.columns, this.place)
  }

  /** Other lines than before start anew. */
  add(time, labels, values) {
    if (labels.join() !== this.labels.join()) {
      this.labels = labels
      this.columns = [[], ...labels.map(() => [])]
      this.draw()
    }
    for (const [i, value] of [time, ...values].entries()) {
      this.columns[i].push(value)
      if (this.columns[i].length > HISTORY_MAX) this.columns[i].shift()
    }
    this.plot.setData(this.columns)
  }
}

const showBars = (id, counts, none) => {
  const entries = Object.entries(counts).filter(([, count]) => count > 0)
  entries.sort(([, one], [, other]) => other - one)
  const max = Math.max(1, ...entries.map(([, count]) => count))
  const rows = entries.map(([name, count]) => {
    const row = document.createElement("li")
    const meter = Object.assign(document.createElement("meter"), { max, value: count, ariaLabel: name })
    row.append(spanOf(name), meter, spanOf(formatCount(count)))
    return row
  })
  if (rows.length === 0)
    rows.push(Object.assign(document.createElement("li"), { className: "empty", textContent: none }))
  byId(id).replaceChildren(...rows)
}

const spanOf = (text) => Object.assign(document.createElement("span"), { textContent: text })

/** Cells that are numbers stand to the right; the last tells the row's state where there is one. */
const showRows = (id, rows) => {
  byId(id).replaceChildren(
    ...rows.map(({ cells, state }) => {
      const row = document.createElement("tr")
      for (const [text, isNumber] of cells) {
        row.append(
          Object.assign(document.createElement("td"), { className: isNumber ? "number" : "", textContent: text })
        )
      }
      if (state !== undefined) row.lastChild.dataset.state = state
      return row
    })
  )
}

const formatShown = ({ count, shown }) =>
  count > shown.length ? `${formatCount(count)}, of which ${shown.length} are shown` : `${count}`

/** As long as people take to notice. */
const SOON_MS = 14 * 86_400_000

const certificateState = (notAfter, now) => {
  if (notAfter === 0) return "no certificate"
  if (notAfter <= now) return "expired"
  return notAfter - now < SOON_MS ? "ends soon" : "good"
}

const showCertificates = (certificates, now) => {
  byId("certificates-card").hidden = certificates.count === 0
  setText("certificates-count", formatShown(certificates))
  showRows(
    "certificates",
    certificates.shown.map(({ hostname, listener, notAfter }) => {
      const state = certificateState(notAfter, now)
      const until = notAfter === 0 ? "" : new Date(notAfter).toISOString().slice(0, 16).replace("T", " ")
      return { state, cells: [[hostname], [listener], [until], [state]] }
    })
  )
}

const showRoutes = (routes) => {
  setText("routes-count", formatShown(routes))
  showRows(
    "routes",
    routes.shown.map(({ backend, dialMs, dials, hostname, listener, mode, state }) => ({
      state,
      cells: [
        [hostname],
        [listener],
        [backend],
        [mode],
        [formatCount(dials), true],
        [formatAverage(dialMs, dials), true],
        [state]
      ]
    }))
  )
}

const showHostnames = ({ shown }) => {
  byId("hostnames-card").hidden = shown.length === 0
  showRows(
    "hostnames",
    shown.map(({ codes, durationMs, hostname, requests }) => {
      const ofClass = (first) =>
        Object.entries(codes).reduce((sum, [code, count]) => (code.startsWith(first) ? sum + count : sum), 0)
      return {
        cells: [
          [hostname],
          [formatCount(requests), true],
          ...["2", "3", "4", "5"].map((first) => [formatCount(ofClass(first)), true]),
          [formatAverage(durationMs, requests), true]
        ]
      }
    })
  )
}

const sumOf = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0)

const start = () => {
  const charts = {
    connections: new Chart("connections-chart", ["accepted"], formatCount),
    bytes: new Chart("bytes-chart", ["from clients", "from backends"], formatBytes),
    listeners: new Chart("listeners-chart", [], formatCount)
  }
  let before

  /** A total goes back only when a listener goes, or the proxy starts again. */
  const perSecond = (told, of) =>
    before === undefined ? 0 : Math.max(0, ((of(told) - of(before)) * 1000) / (told.time - before.time))

  const show = (told) => {
    if (before !== undefined && told.time <= before.time) return
    const state = told.draining ? "draining" : "accepting"
    setText("version", told.version)
    setText("status", state)
    byId("status").dataset.state = state

    const rate = perSecond(told, ({ accepted }) => accepted)
    const up = perSecond(told, ({ bytesFromClient }) => bytesFromClient)
    const down = perSecond(told, ({ bytesFromBackend }) => bytesFromBackend)
    setText("active", formatCount(told.active))
    setText("rate", formatCount(rate))
    setText("up", formatBytes(up))
    setText("down", formatBytes(down))
    setText("blocked-rate", formatCount(perSecond(told, ({ blocked }) => sumOf(blocked))))
    setText("sockets", formatCount(told.sockets.open))
    setText("sockets-max", `sockets open, of ${formatCount(told.sockets.max)}`)

    const time = told.time / 1000
    const charted = told.listeners.shown.slice(0, LISTENERS_CHARTED_MAX)
    charts.connections.add(time, ["accepted"], [rate])
    charts.bytes.add(time, ["from clients", "from backends"], [up, down])
    charts.listeners.add(
      time,
      charted.map(({ addr }) => addr),
      charted.map(({ active }) => active)
    )
    showBars("outcomes", told.outcomes, "no connection has ended yet")
    showBars("blocked", told.blocked, "nobody yet")
    showHostnames(told.hostnames)
    showCertificates(told.certificates, told.time)
    showRoutes(told.routes)
    before = told
  }

  const events = new EventSource("/live/events")
  events.onmessage = ({ data }) => show(JSON.parse(data))
  events.onerror = () => {
    setText("status", "connection lost")
    byId("status").dataset.state = "lost"
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    Object.values(charts).forEach((chart) => chart.draw())
  )
}

start()
