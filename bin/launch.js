// How every program starts. Plain old JavaScript, so that a Node that is too old can say so in one line.

/** Runs src/bin/<name>.ts in a checkout, and what was built from it in the published package. */
export function launch(name) {
  var version = process.versions.node.split(".").map(Number)
  if (version[0] < 22 || (version[0] === 22 && version[1] < 19)) {
    console.error(
      name +
        " needs Node 22.19 or newer, and this is " +
        process.versions.node +
        "; in a checkout run it with npx " +
        name +
        " after npm ci, which brings its own Node."
    )
    process.exit(1)
  }
  var source = "../src/bin/" + name + ".ts"
  import(source)
    .catch(function (error) {
      var isBuilt =
        error && error.code === "ERR_MODULE_NOT_FOUND" && error.url === new URL(source, import.meta.url).href
      if (isBuilt) return import("../dist/bin/" + name + ".js")
      throw error
    })
    .catch(function (error) {
      if (!error || error.code !== "ERR_MODULE_NOT_FOUND" || !/^Cannot find package/.test(String(error.message)))
        throw error
      console.error(name + ": its packages are not installed; run npm ci first")
      process.exit(1)
    })
}
