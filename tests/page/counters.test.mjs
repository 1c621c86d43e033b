// The Counters view, on a cluster with counter nodes: likes by button, by keyboard and from elsewhere, totals at every node, windows that
// move. browser.mjs says what it needs.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import {
  accessible,
  api,
  eventually,
  launch,
  open,
  picture,
  show,
  test,
} from "./browser.mjs";

const ID = `tea of ${Date.now()}`;
// Nodes of a cluster that was just made take a while.
const MINUTES = 180_000;
const WINDOWS = ["1m", "5m", "10m"];

let browser, page;

before(async () => {
  browser = await launch();
  page = await open(browser);
});
after(async () => {
  await api("/partition", { method: "DELETE" }).catch(() => undefined);
  await browser?.close();
});

const row = (id = ID) => page.locator(`tr[data-id="${id}"]`);
const total = async (id) =>
  Number(await row(id).locator(".total").textContent());

/** The row says so, at every node, and so do the bars of all windows together. */
async function counted(expected, id = ID) {
  await eventually(`${expected} in the row`, async () => {
    assert.equal(await total(id), expected);
    return true;
  });
  await eventually(`${expected} at every node`, async () => {
    const cells = await row(id).locator("td[data-node]").allTextContents();
    assert.ok(cells.length > 0, "no node is shown");
    assert.deepEqual(cells, cells.fill(String(expected)));
    return true;
  });
  for (const window of WINDOWS)
    await eventually(`${expected} in windows of ${window}`, async () => {
      const label = await page
        .locator(`[data-windows-of="${id}"] [data-window="${window}"] svg`)
        .getAttribute("aria-label");
      const bars = [...label.matchAll(/\d\d:\d\d: (-?\d+)/g)].map(([, text]) =>
        Number(text),
      );
      assert.equal(bars.length, 12, label);
      const sum = bars.reduce((a, b) => a + b, 0);
      assert.equal(sum, expected, label);
      return true;
    });
}

test("the nodes are alive, one leads, and all say the same", async () => {
  await page.evaluate(() => (globalThis.marker = "not loaded again"));
  await page
    .getByRole("navigation", { name: "Views" })
    .getByRole("link", { name: "Counters" })
    .click();
  const nodes = page.getByRole("list", { name: "Counter nodes" });
  await eventually(
    "every node is alive and one leads",
    async () => {
      const alive = await nodes
        .locator("li")
        .evaluateAll((items) => items.map((item) => item.dataset.alive));
      assert.deepEqual(alive, alive.fill("true"));
      assert.ok(alive.length > 0, "no node is listed");
      assert.equal(await nodes.getByText("Leader").count(), 1);
      return true;
    },
    MINUTES,
  );
  await page.getByText("All nodes say the same").waitFor();
});

test("something new is liked by keyboard, and is at every node and in every window", async () => {
  await page.getByLabel("Like something new").fill(ID);
  await page.keyboard.press("Enter");
  await row().waitFor();
  assert.ok(
    new URL(page.url()).hash.startsWith("#/counters?"),
    "the address holds the view",
  );
  await counted(1);
});

test("the like button counts, by mouse and by keyboard, and keeps the focus", async () => {
  const button = row().getByRole("button", {
    name: `Like ${ID}`,
    exact: true,
  });
  for (let n = 0; n < 3; n++) await button.click();
  await button.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Space");
  await counted(6);
  assert.equal(
    await page.evaluate(() => document.activeElement.ariaLabel),
    `Like ${ID}`,
  );
  await row()
    .getByRole("button", { name: `Unlike ${ID}` })
    .click();
  await counted(5);
  await picture(page, "20-counters");
  await accessible(page, "counters");
});

test("likes from elsewhere appear without a reload, twice sent and once counted", async () => {
  const request = `elsewhere-${Date.now()}/1`;
  for (let n = 0; n < 2; n++)
    await api("/likes", {
      method: "POST",
      body: { id: ID, by: "somebody else", n: 7, request },
    });
  await counted(12);
  assert.equal(
    await page.evaluate(() => globalThis.marker),
    "not loaded again",
  );
});

test("a node is cut off by a click, keeps counting, and after the heal all say the same", async () => {
  const node = page.locator('li[data-node="2"]');
  await node.getByRole("button", { name: "Cut off node 2" }).click();
  const measured = (word) =>
    eventually(
      `node 2 is measured to be ${word}`,
      async () => (await node.getAttribute("data-word")) === word,
      MINUTES,
    );
  await measured("Cut");
  // The gateway sends them to a node that the leader hears: the one that is cut knows less.
  for (let n = 1; n <= 30; n++)
    await api("/likes", {
      method: "POST",
      body: { id: ID, by: "somebody else", request: `cut-${ID}/${n}` },
    });
  await page.getByText("Nodes differ").waitFor();
  await eventually("all of it is known together", async () => {
    assert.equal(await total(ID), 42);
    return true;
  });
  await picture(page, "21-counters-cut");
  await accessible(page, "counters while a node is cut");
  await node.getByRole("button", { name: "Connect node 2" }).click();
  await measured("Connected");
  await page.getByText("All nodes say the same").waitFor();
  await counted(42);
});

test("ids are found by how they begin, and their windows shown by a click", async () => {
  await api("/likes", {
    method: "POST",
    body: { id: `${ID}, green`, by: "somebody else" },
  });
  await page.getByLabel("Ids that begin with").fill(ID);
  await page.keyboard.press("Tab");
  const green = page.getByRole("button", { name: `${ID}, green`, exact: true });
  await green.click();
  await page
    .getByRole("heading", { name: `Windows of ${ID}, green` })
    .waitFor();
  assert.equal(await green.getAttribute("aria-pressed"), "true");
  assert.equal(await page.locator("tr[data-id]").count(), 2);
  await counted(1, `${ID}, green`);
});

test("a viewer sees the counters and is told why nothing can be liked", async () => {
  const viewer = await open(browser, {
    token: process.env.GATEWAY_VIEWER_TOKEN,
    hash: "#/counters",
  });
  await viewer.locator("tr[data-id]").first().waitFor();
  await viewer.getByText("you see the counters and cannot like").waitFor();
  const buttons = viewer.locator(".likes button");
  for (const button of await buttons.all())
    assert.ok(await button.isDisabled());
  await accessible(viewer, "counters as a viewer");
  await viewer.context().close();
});

test("on a phone of 360 pixels nothing sticks out", async () => {
  const phone = await open(browser, {
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    hash: `#/counters?prefix=${encodeURIComponent(ID)}`,
  });
  await phone.locator("[data-window='10m'] rect.now").first().waitFor();
  const width = await phone.evaluate(
    () => document.documentElement.scrollWidth,
  );
  assert.ok(width <= 360, `it is ${width} wide`);
  await picture(phone, "22-phone-counters");
  await accessible(phone, "counters on a phone");
  assert.deepEqual(phone.faults, []);
  await phone.context().close();
});

test("in the dark it is as readable, and nothing was asked of anybody else", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  await show(page, `#/counters?id=${encodeURIComponent(ID)}`);
  await picture(page, "23-counters-dark");
  assert.deepEqual(page.faults, []);
});
