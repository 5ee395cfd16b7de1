/** Plays simulations from seed 1 on and prints the first seed of which a promise is not kept; nothing when all are. */
import { simulate } from "../../src/testing/simulator/Simulate.ts"

const seedsMax = Number(process.argv[2])
for (let seed = 1; seed <= seedsMax; seed++) {
  if ((await simulate(seed)).violations.length === 0) continue
  console.log(seed)
  break
}
