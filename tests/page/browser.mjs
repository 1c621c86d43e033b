// A real browser at a real gateway. What it needs comes from the environment:
//   GATEWAY_URL            such as http://localhost:8000
//   GATEWAY_TOKEN          the editor's token
//   GATEWAY_VIEWER_TOKEN   the viewer's token
//   RESTART_COMMAND        restarts the gateway and returns when it is gone; run by sh
//   SCREENSHOTS            folder for a picture of each step (default: ./screenshots)
//   CHROMIUM               the browser (default: /usr/bin/chromium)
import { AxeBuilder } from "@axe-core/playwright";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test as register } from "node:test";
import { chromium } from "playwright-core";

export function needed(name) {
  const value = process.env[name];
  assert.ok(
    value,
    `${name} is not set; tests/page/browser.mjs says what the tests need`,
  );
  return value;
}

export const GATEWAY = new URL(needed("GATEWAY_URL")).origin;
export const TOKEN = needed("GATEWAY_TOKEN");
const SCREENSHOTS =
  process.env.SCREENSHOTS ?? join(import.meta.dirname, "screenshots");
mkdirSync(SCREENSHOTS, { recursive: true });

// A browser of tests has no business with its maker's servers.
const QUIET = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-quic",
];

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", ...QUIET],
  });
}

/** A page of its own, signed in by its address as people are, as soon as what is to be seen on arrival is there: the word, where there is a
 * SyncCluster. What went wrong in it is in `page.faults`. */
export async function open(
  browser,
  { token = TOKEN, hash = "", arrived = ".word", ...options } = {},
) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 1000 },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`error: ${error.message}`));
  page.on(
    "console",
    (message) =>
      /Content Security Policy/.test(message.text()) &&
      page.faults.push(message.text()),
  );
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith("http") && origin !== GATEWAY)
      page.faults.push(`a request to ${origin}`);
  });
  await page.goto(`${GATEWAY}/#token=${token}`);
  if (arrived === ".word") await page.locator(arrived).waitFor();
  if (hash !== "") await show(page, hash);
  await page.locator(arrived).first().waitFor();
  return page;
}

let failed;

/** A step of a tour. They stand on one another: after one that failed the others would only wait. */
export function test(name, step) {
  register(name, async () => {
    assert.equal(failed, undefined, "an earlier step failed");
    failed = name;
    await step();
    failed = undefined;
  });
}

/** Goes to a view by its link. */
export async function show(page, hash) {
  await page.evaluate((to) => (location.hash = to), hash);
}

export async function picture(page, name) {
  // What is sticky would stand in the middle of it.
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({
    path: join(SCREENSHOTS, `${name}.png`),
    fullPage: true,
    animations: "disabled",
  });
}

/** No finding of axe, in both themes; in a part of the page, where that goes away soon. */
export async function accessible(page, view, part) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const axe = new AxeBuilder({ page });
    if (part) axe.include(part);
    const { violations } = await axe.analyze();
    const found = violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map((node) => `${node.target.join(" ")} (${node.failureSummary})`).join("; ")}`,
    );
    assert.deepEqual(found, [], `${view}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** Waits until `probe` gives something true, and says what was there if it never does. */
export async function eventually(what, probe, patience = 60_000) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await probe();
      if (last) return last;
    } catch (error) {
      last = error.message;
    }
    assert.ok(
      Date.now() < end,
      `${what}: not within ${patience / 1000} s; last seen: ${JSON.stringify(last)}`,
    );
    await new Promise((then) => setTimeout(then, 50));
  }
}

/** The REST API as a program uses it. */
export async function api(path, { method = "GET", body, headers = {} } = {}) {
  const answer = await fetch(`${GATEWAY}/api/v1${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${TOKEN}`,
      "Content-Type": "application/json",
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}
