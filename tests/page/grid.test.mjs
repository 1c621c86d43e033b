// A table of many types at three sites, without Kubernetes: every cell as it is read, changed in place and seen at the others; rows inserted and
// deleted; what waits at a site. tests/integration/tests/browser.rs makes the tables, and runs this. Every dialog is looked at by axe.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import {
  GATEWAY,
  accessible,
  api,
  eventually,
  launch,
  open,
  picture,
  show,
  test,
} from "./browser.mjs";

const TABLE = "public.readings";
const GRID = `#/sites?table=${TABLE}`;
const LOGS = "public.logs";
const ROWS = (site, table = TABLE) => `/sites/${site}/tables/${table}/rows`;

let browser, page, key;

before(async () => {
  browser = await launch();
  page = await open(browser, { hash: GRID, arrived: "table.grid" });
  key = await keyOf("room = 'hall' and nr = 1");
});
after(() => browser?.close());

async function keyOf(filter) {
  const { rows } = await api(
    `${ROWS("client-1")}?filter=${encodeURIComponent(filter)}`,
  );
  return rows[0].key_path;
}

const cell = (site, column, row = key) =>
  page.locator(
    `td[data-key="${row}"][data-site="${site}"][data-column="${column}"]`,
  );

/** The cell has exactly this, read aloud apart. */
const reads = (site, column, expected, row = key) =>
  eventually(`${column} at ${site} reads ${expected}`, async () => {
    const value = cell(site, column, row).locator(
      ":scope > :is(.value, .null, .bool)",
    );
    assert.equal(await value.textContent({ timeout: 500 }), expected);
    return true;
  });

async function everywhere(column, expected, row = key) {
  for (const site of ["client-1", "server", "client-2"])
    await reads(site, column, expected, row);
}

/** Opens the cell's field at client-1. */
async function field(column) {
  await cell("client-1", column).click();
  const editor = cell("client-1", column).locator(".editor");
  await editor.waitFor();
  return editor;
}

async function write(column, text, expected = text) {
  const editor = await field(column);
  await editor.getByRole("textbox").fill(text);
  await editor.getByRole("textbox").press("Enter");
  await everywhere(column, expected);
}

test("every type is shown as Postgres writes it, and null is told from a text", async () => {
  const shown = {
    small: "7",
    big: "9007199254740993",
    price: "12.5000",
    ratio: "0.1",
    ok: "null",
    sure: "false",
    taken: "2026-01-02 03:04:05.678+00",
    day: "2026-01-02",
    doc: '{"a": [1, null]}',
    mood: "low",
    tags: '{a,"b c",NULL}',
    note: "empty",
    remark: "null",
    total: "12.5000",
  };
  for (const [column, expected] of Object.entries(shown))
    await everywhere(column, expected);
  const keyed = page.locator(`tr[data-row="${key}"] .key-button`);
  assert.equal(await keyed.textContent(), "hall · 1");
  await picture(page, "30-grid");
  await accessible(page, "a grid of many types");
});

test("numbers are written as they were typed, beyond what a browser counts", async () => {
  await write("big", "9223372036854775807");
  await write("price", "1234567890123456.7891");
  await reads("client-2", "total", "1234567890123456.7891");
  await write("small", "-12");
});

test("what is no number is refused beside the cell, and nothing is written", async () => {
  const editor = await field("small");
  await editor.getByRole("textbox").fill("many");
  await editor.getByRole("textbox").press("Enter");
  await editor.getByRole("alert").waitFor();
  await picture(page, "31-refused");
  await accessible(page, "a cell that was refused");
  await editor.getByRole("textbox").press("Escape");
  await editor.waitFor({ state: "detached" });
  await everywhere("small", "-12");
});

test("times are written in any form that Postgres reads", async () => {
  await write("taken", "2026-02-03T04:05:06+01:00", "2026-02-03 03:05:06+00");
  await write("day", "2024-02-29");
});

test("null, an empty text and a text are three things", async () => {
  const remark = await field("remark");
  await accessible(page, "a cell that is changed");
  await remark.getByRole("button", { name: "empty" }).click();
  await everywhere("remark", "empty");
  await write("remark", "null of no value");
  await (
    await field("remark")
  )
    .getByRole("button", { name: "null", exact: true })
    .click();
  await everywhere("remark", "null");
});

test("what is true or false is turned by a click, and chosen where it may be neither", async () => {
  await cell("client-1", "sure").click();
  await everywhere("sure", "true");
  const choose = async (value, expected) => {
    const editor = await field("ok");
    await editor.getByRole("combobox").selectOption(value);
    await editor.getByRole("button", { name: "Save", exact: true }).click();
    await everywhere("ok", expected);
  };
  await choose("false", "false");
  await choose("", "null");
  await choose("true", "true");
});

test("one of a few words is chosen, and a document has room", async () => {
  const mood = await field("mood");
  assert.deepEqual(await mood.locator("option").allTextContents(), [
    "low",
    "high",
  ]);
  await mood.getByRole("combobox").selectOption("high");
  await mood.getByRole("button", { name: "Save", exact: true }).click();
  await everywhere("mood", "high");
  const doc = await field("doc");
  await doc.getByRole("textbox").fill('{"b":\n9007199254740993}');
  await doc.getByRole("textbox").press("Control+Enter");
  await everywhere("doc", '{"b": 9007199254740993}');
});

test("what the database computes, and the key, are not changed", async () => {
  await cell("client-1", "total").click();
  assert.equal(await page.locator(".editor").count(), 0);
  assert.match(
    await cell("client-1", "total").getAttribute("title"),
    /generated by the database/,
  );
});

test("a row is inserted with both parts of its key, after what was wrong with it is said", async () => {
  await page.getByRole("button", { name: "Insert a row", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await accessible(page, "a row to insert");
  await dialog.getByLabel("room", { exact: true }).fill("roof");
  await dialog.getByLabel("nr", { exact: true }).fill("two");
  await dialog.getByLabel("At", { exact: true }).selectOption("client-2");
  await dialog.getByRole("button", { name: "Insert at client-2" }).click();
  await dialog.getByRole("alert").waitFor();
  await picture(page, "32-insert");
  await accessible(page, "a row that was refused");
  await dialog.getByLabel("nr", { exact: true }).fill("2");
  await dialog.getByLabel("big", { exact: true }).fill("5");
  await dialog.getByRole("button", { name: "Insert at client-2" }).click();
  await dialog.waitFor({ state: "detached" });
  const roof = await keyOfSoon("room = 'roof' and nr = 2");
  await everywhere("big", "5", roof);
  await everywhere("sure", "false", roof);
  await everywhere("price", "null", roof);
});

const keyOfSoon = (filter) =>
  eventually(`a row with ${filter}`, () => keyOf(filter));

test("rows are found and put in order by any column", async () => {
  const firsts = () =>
    page.locator("tr[data-row] .key-button").allTextContents();
  const shows = (what, expected) =>
    eventually(what, async () => {
      assert.deepEqual(await firsts(), expected);
      return true;
    });
  await show(page, `${GRID}&order=-big`);
  await shows("the largest first", ["hall · 1", "roof · 2"]);
  await page.getByLabel("Order", { exact: true }).selectOption("big");
  await shows("the smallest first", ["roof · 2", "hall · 1"]);
  await page
    .getByLabel("Filter", { exact: true })
    .fill("price > 1.5 and mood = 'high'");
  await page.keyboard.press("Enter");
  await shows("what the filter lets through", ["hall · 1"]);
  await show(page, GRID);
  await shows("all", ["hall · 1", "roof · 2"]);
});

test("the way of a row with a key of two parts has every hop", async () => {
  await page.locator(`tr[data-row="${key}"] .key-button`).click();
  const dialog = page.getByRole("dialog");
  await eventually("every hop is done", async () => {
    const hops = await dialog
      .locator(".way li")
      .evaluateAll((items) => items.map((item) => item.className));
    return hops.length >= 5 && hops.every((state) => state === "done");
  });
  assert.match(await dialog.getByRole("heading").first().textContent(), /hall/);
  await picture(page, "33-way");
  await accessible(page, "the way of a row with a key of two parts");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

test("a number that somebody else wrote meanwhile is shown beside one's own", async () => {
  const editor = await field("big");
  await editor.getByRole("textbox").fill("1");
  await api(`${ROWS("client-1")}/${key}`, {
    method: "PATCH",
    body: { values: { big: "2" } },
  });
  await reads("client-2", "big", "2");
  await editor.getByRole("textbox").press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("This row was changed meanwhile").waitFor();
  assert.match(await dialog.locator("tbody").textContent(), /big.*1.*2/);
  await accessible(page, "a number that was changed since");
  await dialog.getByRole("button", { name: "Write mine" }).click();
  await everywhere("big", "1");
});

test("a row with its own key comes back whole when its delete is undone", async () => {
  const remove = async () => {
    await cell("client-2", "big").hover();
    await page
      .locator(`tr[data-row="${key}"]`)
      .getByRole("button", { name: "Delete this row at client-2" })
      .click();
  };
  const writes = "**/tables/*/rows/*";
  await page.route(writes, (route) => route.abort());
  await remove();
  await page.locator(".toast.failed").waitFor();
  await accessible(page, "a delete that failed", ".toasts");
  await page.unroute(writes);
  await remove();
  const undo = page.getByRole("button", { name: "Undo" });
  await undo.waitFor();
  await accessible(page, "a delete that can be undone", ".toasts");
  await undo.click();
  await everywhere("big", "1");
  await everywhere("doc", '{"b": 9007199254740993}');
  await everywhere("tags", '{a,"b c",NULL}');
});

test("a delete that cannot be undone is asked about", async () => {
  await show(page, `#/sites?table=${LOGS}`);
  const row = page.locator("tr[data-row]", { hasText: "the only line" });
  await row.first().waitFor();
  const remove = () =>
    row.getByRole("button", { name: "Delete this row at server" }).click();
  await row.locator('td[data-site="server"]').first().hover();
  await remove();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("It cannot be undone here").waitFor();
  await picture(page, "34-delete");
  await accessible(page, "a row to delete");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await row.count(), 1);
  await remove();
  await dialog.getByRole("button", { name: "Delete", exact: true }).click();
  await row.waitFor({ state: "detached" });
  for (const site of ["client-1", "server", "client-2"])
    await eventually(`${site} has no line`, async () => {
      const { rows } = await api(ROWS(site, LOGS));
      return rows.length === 0;
    });
});

test("a change that a site refuses waits there, and is tried again when somebody asks", async () => {
  await api(`${ROWS("client-1")}/${key}`, {
    method: "PATCH",
    body: { values: { small: "200" } },
  });
  await show(page, "#/conflicts");
  const parked = page.locator("li.conflict", { hasText: "at client-2 since" });
  await eventually("it waits at client-2", async () => {
    await page.getByRole("link", { name: "Conflicts" }).click();
    return (await parked.count()) === 1;
  });
  assert.match(await parked.textContent(), /small_here/);
  await parked.locator("summary").click();
  await parked.locator("pre").waitFor();
  await picture(page, "35-parked");
  await accessible(page, "a change that waits");
  await parked.getByRole("button", { name: "Try again" }).click();
  await page.getByText("client-2 tries it again within").waitFor();
  // The next write of the row fits, and takes away what waits.
  await api(`${ROWS("client-1")}/${key}`, {
    method: "PATCH",
    body: { values: { small: "3" } },
  });
  await eventually("nothing waits", async () => {
    const { parked: left } = await api("/parked");
    return left.length === 0;
  });
});

test("groups have their lag, and one is opened", async () => {
  await show(page, "#/topics");
  const group = page.locator("table.things tr", { hasText: ".client-2-sink" });
  await eventually("the sink of client-2 has read everything", async () => {
    assert.equal(await group.locator("td").last().textContent(), "0");
    return true;
  });
  await group.getByRole("button").click();
  await page.locator("tr.lag tbody tr").first().waitFor();
  await accessible(page, "a group and its lag");
});

test("a message unfolds before and after", async () => {
  await page
    .getByRole("button", { name: /\.client-1$/ })
    .first()
    .click();
  const message = page
    .getByRole("list", { name: /^Messages of/ })
    .locator(".message", { hasText: "room=hall" })
    .first();
  await message.locator("summary").click();
  await message.locator("table").waitFor();
  await accessible(page, "a message of many types");
});

test("a live tail follows several topics at once, and leaves one of them", async () => {
  const tail = (site) =>
    page.getByLabel(new RegExp(`^Live tail of .*\\.${site}$`));
  const written = async (site, room) => {
    const values = { room, nr: 1 };
    await api(ROWS(site), { method: "POST", body: { values } });
  };
  const message = (room) =>
    page
      .getByRole("list", { name: "Live messages" })
      .locator(".message", { hasText: room });
  const follows = (topics) =>
    eventually(`a live tail of ${topics}`, async () => {
      const header = page.locator("section[aria-labelledby=tail] header");
      assert.match(await header.locator("h2").textContent(), topics);
      return (await header.locator(".tag").textContent()) === "Live";
    });
  await show(page, "#/topics");
  await tail("client-1").check();
  await follows(/^Live tail of \S+\.client-1$/);
  await tail("client-2").check();
  await follows(/^Live tail of \S+\.client-1, \S+\.client-2$/);
  for (const site of ["client-1", "client-2"])
    await written(site, `tailed at ${site}`);
  for (const site of ["client-1", "client-2"])
    await eventually(`what ${site} wrote has its topic`, async () => {
      const of = message(`tailed at ${site}`).locator(".offset b");
      return (await of.textContent({ timeout: 500 })).endsWith(`.${site}`);
    });
  await accessible(page, "a live tail of two topics");
  await tail("client-1").uncheck();
  await follows(/^Live tail of \S+\.client-2$/);
  await written("client-1", "not tailed");
  await written("client-2", "tailed again");
  await message("tailed again").waitFor();
  assert.equal(await message("not tailed").count(), 0);
});

test("light or dark is remembered when the page is loaded again", async () => {
  const chosen = (name) =>
    page.getByRole("button", { name: new RegExp(`^Theme: ${name}`) });
  const shown = () =>
    page.evaluate(() => document.documentElement.dataset.theme ?? "system's");
  await chosen("as the system").click();
  await chosen("light").click();
  assert.equal(await shown(), "dark");
  await page.reload();
  await chosen("dark").waitFor();
  assert.equal(await shown(), "dark");
  await chosen("dark").click();
  await page.reload();
  await chosen("as the system").waitFor();
  assert.equal(await shown(), "system's");
});

test("the first rows are asked for first, and wait for nothing that comes later", async () => {
  const fresh = await page.context().newPage();
  const asked = [];
  fresh.on("request", (request) =>
    asked.push(
      new URL(request.url()).pathname
        .replace("/api/v1", "")
        .replace(/app\.\w+\.js$/, "app.js"),
    ),
  );
  const late = /\/api\/v1\/(me|sites|counters)$/;
  let go;
  const gone = new Promise((resolve) => (go = resolve));
  await fresh.route(late, (route) => gone.then(() => route.continue()));
  await fresh.goto(`${GATEWAY}/${GRID}`);
  await fresh.locator("tr[data-row]").first().waitFor();
  assert.equal(await fresh.locator(".person").count(), 0);
  const viewers = fresh.getByText("signed in as a viewer");
  assert.equal(await viewers.count(), 0);
  assert.deepEqual(asked.slice(0, 6), [
    "/",
    "/app.js",
    `/tables/${TABLE}/rows`,
    "/tables",
    "/cluster",
    "/me",
  ]);
  go();
  await fresh.locator(".person").waitFor();
  await fresh.close();
});

test("nothing was asked of anybody else, and nothing failed inside the page", () => {
  assert.deepEqual(page.faults, []);
});
