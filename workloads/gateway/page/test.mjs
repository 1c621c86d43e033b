// Runs src/**/*.test.ts under node's test runner: bundled by esbuild first, since node 20 does not read TypeScript.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const sources = readdirSync(join(import.meta.dirname, "src"), { recursive: true })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => join(import.meta.dirname, "src", name));
const out = mkdtempSync(join(tmpdir(), "synccluster-page-"));
await build({
  entryPoints: sources,
  bundle: true,
  platform: "node",
  format: "esm",
  sourcemap: "inline",
  outdir: out,
  outExtension: { ".js": ".mjs" },
});
const tests = readdirSync(out, { recursive: true })
  .filter((name) => name.endsWith(".mjs"))
  .map((name) => join(out, name));
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...tests], { stdio: "inherit" });
rmSync(out, { recursive: true });
process.exit(status ?? 1);
