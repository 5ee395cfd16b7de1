/** All checkers that judge a simulation when it has ended; `checks/State.ts` judges in the middle of it. */
import { checkBlocked } from "./checks/Blocked.ts"
import { checkBytes } from "./checks/Bytes.ts"
import { checkDraining } from "./checks/Draining.ts"
import { checkLeaks } from "./checks/Leaks.ts"
import { checkLimits } from "./checks/Limits.ts"
import { checkOutcomes } from "./checks/Outcomes.ts"
import { checkRequests } from "./checks/Requests.ts"
import { checkReuse } from "./checks/Reuse.ts"
import { checkStored } from "./checks/Stored.ts"
import type { Check } from "./SimRun.ts"

export const CHECKS: ReadonlyArray<Check> = [
  checkOutcomes,
  checkBytes,
  checkRequests,
  checkReuse,
  checkBlocked,
  checkLimits,
  checkStored,
  checkDraining,
  checkLeaks
]
