/** How many descriptors this process may have open. */

/**
 * RLIMIT_NOFILE, as it is now; Node has raised the soft limit to the hard one by itself when it started.
 * Where the system has no limit, or none that can be read, a number that no machine reaches in sockets.
 */
export const openFilesMax = (): number => {
  const report: { readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } } } =
    process.report.getReport()
  const soft = Number(report.userLimits?.open_files?.soft)
  return Number.isInteger(soft) ? soft : UNLIMITED
}

const UNLIMITED = 1_048_576
