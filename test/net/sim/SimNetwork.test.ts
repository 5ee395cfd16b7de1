import { SimNetwork } from "../../../src/net/sim/SimNetwork.ts"
import { networkSuite } from "../NetworkSuite.ts"
import { OPTIONS } from "./Options.ts"

networkSuite("a simulated network on which time stands still", SimNetwork.layer({ seed: 1 }), OPTIONS)
