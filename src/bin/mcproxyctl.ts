/** The `mcproxyctl` command: flags → layers → run. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { ctl, PROGRAM } from "../ctl/Ctl.ts"
import { layerCli, runMain } from "./Main.ts"
import { version } from "./Version.ts"

runMain(PROGRAM, ctl(process.argv.slice(2), version).pipe(Effect.provide([layerCli(PROGRAM), NodeServices.layer])))
