import { layer } from "../../../src/net/node/NodeNetwork.ts"
import { networkSuite } from "../NetworkSuite.ts"
import { OPTIONS } from "./Options.ts"

networkSuite("Node's sockets", layer, OPTIONS)
