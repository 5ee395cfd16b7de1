/**
 * A route's policies, which refuse requests before a backend hears of them. The first that matches refuses.
 *
 * Both types compare without case: `block_user_agent` matches where `User-Agent` contains its value, `require_header`
 * where the request has no field of that name.
 */
import type { L7Policy } from "../snapshot/Snapshot.ts"
import { fieldOf } from "./Fields.ts"
import type { RequestHead } from "./Message.ts"

/** Policies with their values in lower case, once for all requests. */
export const compilePolicies = (policies: ReadonlyArray<L7Policy>): ReadonlyArray<L7Policy> =>
  policies.map(({ type, value }) => ({ type, value: value.toLowerCase() }))

/** The first of compiled `policies` that refuses the request. */
export const firstMatch = (policies: ReadonlyArray<L7Policy>, head: RequestHead): L7Policy | undefined => {
  for (const policy of policies) if (matches(policy, head)) return policy
  return undefined
}

const matches = ({ type, value }: L7Policy, { fields }: RequestHead): boolean => {
  switch (type) {
    case "block_user_agent":
      return userAgentContains(fields, value)
    case "require_header":
      // Every request has an authority, by either name, and it is not among the fields.
      return value !== "host" && fieldOf(fields, value) === undefined
  }
}

/** Every `User-Agent` is looked at, since a backend may read another than the first. */
const userAgentContains = (fields: RequestHead["fields"], part: string): boolean => {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === "user-agent" && fields[i + 1]!.toLowerCase().includes(part)) return true
  }
  return false
}
