// One thread of scripts/sim.ts: is given seeds, and gives what became of them.
import { parentPort } from "node:worker_threads"
import { simulate } from "../src/testing/simulator/Simulate.ts"
import { summarize } from "../src/testing/simulator/Summary.ts"

parentPort?.on("message", (seed: number) => {
  // A rejection is the worker's error.
  void simulate(seed).then((simulation) => parentPort?.postMessage(summarize(simulation)))
})
