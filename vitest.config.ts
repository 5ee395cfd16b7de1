import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: "forks",
    // Vitest would leave a core free. Tests mostly wait for the programs that they start.
    maxWorkers: "100%"
  }
})
