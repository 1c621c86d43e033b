// Ten clients on the page: all of them and the server side by side, on a screen of usual width.
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

const CLIENTS = Array.from({ length: 10 }, (_, index) => `client-${index + 1}`);
const SITES = ["server", ...CLIENTS];
const TITLE = `ten ${Date.now()}`;
const WIDTH = 1440;
const LIST = `#/sites?table=public.todos&filter=${encodeURIComponent(`title = '${TITLE}'`)}`;

let browser, page;

before(async () => {
  browser = await launch();
  page = await open(browser, { hash: LIST });
});
after(() => browser?.close());

/** Whole, and nowhere cut off at a side. */
async function fits(locator, what) {
  const box = await locator.first().boundingBox();
  assert.ok(box, `${what} is not there`);
  assert.ok(
    box.width > 0 && box.x >= 0 && box.x + box.width <= WIDTH,
    `${what} is from ${box.x} to ${box.x + box.width}`,
  );
}

test("a row written at the tenth client is seen at all sites, side by side", async () => {
  await api("/sites/client-10/tables/public.todos/rows", {
    method: "POST",
    body: { values: { title: TITLE } },
  });
  for (const site of SITES) {
    const cell = page.locator(`td[data-site="${site}"][data-column="title"]`);
    await eventually(`${site} shows it`, async () =>
      (await cell.first().textContent({ timeout: 500 })).includes(TITLE),
    );
    await fits(cell, `the cell of ${site}`);
  }
  await picture(page, "20-ten-clients");
});

test("every client's way is in the picture of the topology", async () => {
  for (const site of CLIENTS) {
    const drawn = page.locator(`svg.topology g[data-site="${site}"]`);
    await fits(drawn, `the way of ${site} in the picture`);
    assert.ok((await drawn.textContent()).includes(site));
    await fits(
      page.locator(`li[data-site="${site}"]`),
      `the switch of ${site}`,
    );
  }
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= WIDTH, `the page is ${width} wide`);
});

test("the grid has every column of every site, and the key stays beside the last of them", async () => {
  await show(page, `${LIST}&layout=grid`);
  await page.locator("table.grid.wide").waitFor();
  for (const site of SITES)
    for (const column of ["title", "done"])
      await eventually(`${column} of ${site} is there`, async () => {
        const cell = page.locator(
          `td[data-site="${site}"][data-column="${column}"]`,
        );
        return (await cell.count()) === 1;
      });
  const last = page.locator('td[data-site="client-10"][data-column="done"]');
  await last.scrollIntoViewIfNeeded();
  await fits(last, "the last column of the last site");
  await fits(page.locator("tr[data-row] td.key"), "the key");
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= WIDTH, `the page is ${width} wide`);
  await picture(page, "21-ten-grid");
  await accessible(page, "the grid of ten clients");
  await show(page, LIST);
  await page.locator("table.grid.list").waitFor();
});

test("axe finds nothing, and nothing went wrong", async () => {
  await accessible(page, "ten clients");
  assert.deepEqual(page.faults, []);
});
