/** Quantities for people: times and sizes in two significant units or digits. */

/** `3d 4h`, `12m 5s`, `0s`. */
export const formatAge = (ms: number): string => {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const parts = [
    { count: Math.floor(seconds / 86_400), unit: "d" },
    { count: Math.floor(seconds / 3600) % 24, unit: "h" },
    { count: Math.floor(seconds / 60) % 60, unit: "m" },
    { count: seconds % 60, unit: "s" }
  ]
  const first = parts.findIndex(({ count }) => count > 0)
  return parts
    .slice(first < 0 ? -1 : first)
    .slice(0, 2)
    .map(({ count, unit }) => `${count}${unit}`)
    .join(" ")
}

/** `512 B`, `1.5 KiB`, `38 MiB`. */
export const formatBytes = (bytes: number): string => {
  if (bytes < 1024) return `${bytes} B`
  let [amount, at] = [bytes / 1024, 0]
  while (amount >= 1023.5 && at < UNITS.length - 1) [amount, at] = [amount / 1024, at + 1]
  return `${amount < 9.95 ? amount.toFixed(1) : amount.toFixed(0)} ${UNITS[at]}`
}

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"]
