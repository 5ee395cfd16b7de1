/** What programs import that manage a running proxy: `import { AdminClient } from "mc-proxy/client"`. */
export { AdminClient, type AdminClientOptions, type Operation, type Operations } from "./admin/AdminClient.ts"
export * from "./admin/AdminError.ts"
export { AdminRpcs, type Request } from "./admin/AdminRpcs.ts"
export * from "./admin/AdminSchema.ts"
export { AdminUnreachable } from "./admin/AdminUnreachable.ts"
