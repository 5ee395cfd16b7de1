/** Everything that is fuzzed. */
import { clientHelloTarget } from "./ClientHelloTarget.ts"
import { configTarget } from "./ConfigTarget.ts"
import { namesTarget } from "./NamesTarget.ts"
import { proxyHeaderTarget } from "./ProxyHeaderTarget.ts"
import { requestTarget } from "./RequestTarget.ts"
import { rulesTarget } from "./RulesTarget.ts"
import type { Target } from "./Target.ts"

export const TARGETS: ReadonlyArray<Target> = [
  clientHelloTarget,
  proxyHeaderTarget,
  requestTarget,
  namesTarget,
  rulesTarget,
  configTarget
]
