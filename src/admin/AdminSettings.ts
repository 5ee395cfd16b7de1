/** What of the config the operations depend on. */
import { Context } from "effect"

export class AdminSettings extends Context.Service<
  AdminSettings,
  {
    /** The database's path. */
    readonly database: string
    /** Empty: no country can be told. */
    readonly geoipDb: string
    /** The program's. */
    readonly version: string
  }
>()("mc-proxy/admin/AdminSettings") {}
