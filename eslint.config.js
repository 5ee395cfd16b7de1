import js from "@eslint/js"
import tseslint from "typescript-eslint"

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "srv/", "coverage/"] },
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
    // The seams of ARCHITECTURE.md: the data plane never imports the control plane, and nothing above net/
    // may know about Node's sockets.
    files: ["src/pipeline/**", "src/net/*.ts", "src/firewall/**", "src/routing/**", "src/tls/**", "src/proxyproto/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["**/store/**", "**/admin/**"], message: "The data plane imports no control plane." },
            {
              group: ["node:net", "node:dgram", "node:tls", "**/net/node/**"],
              message: "Only src/net/node knows Node's sockets."
            }
          ]
        }
      ]
    }
  },
  {
    files: ["bin/**", "*.js", "scripts/**"],
    languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly" } }
  }
)
