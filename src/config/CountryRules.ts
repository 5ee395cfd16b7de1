/** Country rules need a database to tell countries by. */
import type { State } from "../snapshot/Change.ts"
import type { Config } from "./Config.ts"
import type { ConfigProblem } from "./ConfigError.ts"

/** Country rules, where no database tells countries: a firewall that lets pass what it should block does not start. */
export const countryProblems = (
  { firewallRules }: State,
  { firewall }: Pick<Config, "firewall">
): ReadonlyArray<ConfigProblem> => {
  const countries = firewallRules.filter(({ type }) => type === "country").map(({ value }) => value)
  if (countries.length === 0 || firewall.geoipDb !== "") return []
  const shown = countries.slice(0, COUNTRIES_SHOWN_MAX).join(", ")
  const rules = countries.length > COUNTRIES_SHOWN_MAX ? `${shown}, …` : shown
  const message = `need a database to tell countries by; set firewall.geoip_db to the path of an .mmdb file`
  return [{ path: `country rules (${rules})`, message }]
}

/** Enough to recognise the list. */
const COUNTRIES_SHOWN_MAX = 5
