/**
 * `grpc.health.v1`: serving until the proxy drains, for the server as a whole and for the admin service by name. A
 * watcher hears of the change at once, and its call lasts until it goes or the server closes.
 */
import { create } from "@bufbuild/protobuf"
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { Effect, Stream } from "effect"
import type { Drain } from "../../control/Drain.ts"
import type { Calls } from "./Calls.ts"
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema
} from "./gen/grpc/health/v1/health_pb.ts"
import { ProxyAdminService } from "./gen/mc_proxy/v1/admin_pb.ts"

/** Registers the service with a router. */
export const register = (router: ConnectRouter, calls: Calls, drain: Drain["Service"]): void => {
  const status = () => saying(drain.began ? ServingStatus.NOT_SERVING : ServingStatus.SERVING)
  const changes = Stream.suspend(() => {
    const now = Stream.succeed(status())
    return drain.began ? now : Stream.concat(now, Stream.fromEffect(Effect.map(drain.awaitBegin, status)))
  })
  router.service(Health, {
    check: ({ service }) => {
      if (SERVICES.includes(service)) return status()
      throw new ConnectError(`there is no service ${JSON.stringify(service)}`, Code.NotFound)
    },
    list: () => ({ statuses: Object.fromEntries(SERVICES.map((service) => [service, status()])) }),
    watch: ({ service }, { signal }) => {
      const statuses = SERVICES.includes(service) ? changes : Stream.sync(() => saying(ServingStatus.SERVICE_UNKNOWN))
      return calls.stream("watch", Stream.concat(statuses, Stream.never), signal)
    }
  })
}

/** The empty name is the server as a whole. */
const SERVICES: ReadonlyArray<string> = ["", ProxyAdminService.typeName]

const saying = (status: ServingStatus) => create(HealthCheckResponseSchema, { status })
