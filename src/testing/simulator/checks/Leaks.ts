/** When everybody has gone, nothing is left. */
import type { Check } from "../SimRun.ts"

export const checkLeaks: Check = ({ left }) =>
  left === undefined
    ? []
    : Object.entries(left).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what} are left at the end`]))
