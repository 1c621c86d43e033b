// Builds dist/: index.html with the style in it, app.<hash>.js, favicon.svg, and beside each its .br and .gz.
import { build } from "esbuild";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const here = import.meta.dirname;
const dist = join(here, "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);

const { outputFiles } = await build({
  entryPoints: [join(here, "src/app.ts")],
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox121", "safari17.5"],
  entryNames: "[name].[hash]",
  outdir: dist,
  write: false,
  legalComments: "none",
  logLevel: "warning",
});

const files = new Map(outputFiles.map((file) => [basename(file.path), Buffer.from(file.contents)]));
const named = (extension) => [...files.keys()].find((name) => name.endsWith(extension));
// The style comes with the page: then the script is the next thing on the one connection that is there already. The gateway lets it through by
// its hash, which it finds between the two tags. A replacement that is a text would have its `$` read.
const style = named(".css");
const css = files.get(style).toString("utf8").trim();
const page = readFileSync(join(here, "src/index.html"), "utf8")
  .replace('<link rel="stylesheet" href="/app.css" />', () => `<style>${css}</style>`)
  .replace("app.js", named(".js"));
if (page.split("<style>").length !== 2 || page.split("</style").length !== 2)
  throw new Error("src/index.html has another place for the style, or the style ends itself");
files.delete(style);
files.set("index.html", Buffer.from(page));
files.set("favicon.svg", readFileSync(join(here, "src/favicon.svg")));

let transferred = 0;
for (const [name, content] of files) {
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  const brotli = brotliCompressSync(content, { params: quality });
  writeFileSync(join(dist, name), content);
  writeFileSync(join(dist, `${name}.br`), brotli);
  writeFileSync(join(dist, `${name}.gz`), gzipSync(content, { level: 9 }));
  transferred += brotli.length;
}

// More than this is not usable within a second on a slow line.
const limit = 60_000;
if (transferred > limit) throw new Error(`the page is ${transferred} bytes compressed; it may be ${limit}`);
console.log(`page: ${files.size} files, ${(transferred / 1000).toFixed(1)} kB compressed`);
