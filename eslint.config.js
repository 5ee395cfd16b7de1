import js from "@eslint/js"
import tseslint from "typescript-eslint"

const CONTROL_PLANE = {
  group: ["**/store/**", "**/admin/**", "**/control/**"],
  message: "The data plane imports no control plane."
}
const NODE_SOCKETS = {
  group: ["node:net", "node:dgram", "node:tls", "**/net/node/**"],
  message: "Only src/net/node knows Node's sockets."
}

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "srv/", "coverage/", "src/admin/grpc/gen/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // Generators that only call synchronous stages are still Effect generators.
      "require-yield": "off",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      eqeqeq: "error"
    }
  },
  {
    // The seams of ARCHITECTURE.md. The data plane never imports the control plane,
    files: ["src/{net,tls,proxyproto,firewall,routing,pipeline}/**", "src/server/{Connections,DataPlane}.ts"],
    rules: {
      "no-restricted-imports": ["error", { patterns: [CONTROL_PLANE, NODE_SOCKETS] }]
    }
  },
  {
    // and nothing under the server knows of it.
    files: ["src/{net,tls,proxyproto,firewall,routing,snapshot,pipeline}/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [CONTROL_PLANE, NODE_SOCKETS, { group: ["**/server/**"], message: "The server is on top." }] }
      ]
    }
  },
  {
    // Only src/net/node knows Node's sockets.
    files: ["src/net/node/**"],
    rules: { "no-restricted-imports": ["error", { patterns: [CONTROL_PLANE] }] }
  },
  {
    // What TLS speaks is made here for them: contexts, which are no sockets.
    files: ["src/tls/SecureContexts.ts"],
    rules: { "no-restricted-imports": ["error", { patterns: [CONTROL_PLANE] }] }
  },
  {
    // What runs in a browser.
    files: ["src/metrics/live/*.js"],
    languageOptions: {
      sourceType: "script",
      globals: Object.fromEntries(
        ["document", "Intl", "getComputedStyle", "uPlot", "EventSource", "ResizeObserver", "matchMedia"].map((name) => [
          name,
          "readonly"
        ])
      )
    }
  },
  {
    files: ["bin/**", "*.js", "scripts/**"],
    languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly" } }
  },
  {
    // Where a Node that is too old says so.
    files: ["bin/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "^node:", message: "A Node before 14.13 knows it without node: only." }] }
      ]
    }
  }
)
