// Bundles the page's script, and writes down what went into it: `make explorer` runs this.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const room = dirname(here);
const sha256 = (content) => createHash("sha256").update(content).digest("hex");

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["main.js"],
  outfile: join(room, "explorer.js"),
  bundle: true,
  format: "iife",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
});
const locked = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8")).packages;
const [{ inputs }] = Object.values(metafile.outputs);
const paths = Object.keys(inputs).filter((path) => inputs[path].bytesInOutput > 0);
const used = [...new Set(paths.map((path) => path.match(/^node_modules\/[^/]+/)?.[0]).filter(Boolean))].sort();
const sources = ["", "rooms"]
  .flatMap((folder) => readdirSync(join(here, folder)).map((name) => join(folder, name)))
  .filter((name) => name.endsWith(".js"))
  .sort();
const contents = {
  bundle_sha256: sha256(readFileSync(join(room, "explorer.js"))),
  sources_sha256: sha256(sources.map((name) => sha256(readFileSync(join(here, name)))).join("")),
  packages: Object.fromEntries(
    used.map((path) => [path.slice(13), { version: locked[path].version, integrity: locked[path].integrity }]),
  ),
};
writeFileSync(join(room, "explorer.json"), `${JSON.stringify(contents, null, 1)}\n`);
const licenses = used.map(
  (path) =>
    `${path.slice(13)} ${locked[path].version}\n\n${readFileSync(join(here, path, "LICENSE"), "utf8").trim()}\n`,
);
writeFileSync(join(room, "explorer.licenses.txt"), licenses.join(`\n${"-".repeat(80)}\n\n`));
console.log(`explorer.js: ${readFileSync(join(room, "explorer.js")).length} bytes, with ${used.length} packages`);
