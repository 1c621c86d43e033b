// The tour on the page, step by step, each with a picture: a row travels, a client is cut, both sides write, the cut is healed, the
// conflict is looked at and its loser made again. Then what else the page promises, and a restart of the gateway in the middle.
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

const TABLE = "public.todos";
const RUN = `run ${Date.now()}`;
const FILTERED = `#/sites?table=${TABLE}&filter=${encodeURIComponent(`title like '${RUN}%'`)}`;
// Verified cuts and heals take as long as the operator's measurements.
const MINUTES = 180_000;

let browser, page, key;

before(async () => {
  browser = await launch();
  page = await open(browser);
});
after(async () => {
  await fetchHeal();
  await browser?.close();
});

const fetchHeal = () =>
  api("/partition", { method: "DELETE" }).catch(() => undefined);
const cell = (site) =>
  page.locator(
    `td[data-key="${key}"][data-site="${site}"][data-column="title"]`,
  );
const strip = () => page.locator(`tr[data-row="${key}"] .strip`);
const link = (site) => page.locator(`li[data-site="${site}"]`);
const reads = (site, title) =>
  eventually(`${site} shows ${title}`, async () =>
    (await cell(site).textContent({ timeout: 500 })).includes(title),
  );
const word = (expected, patience = MINUTES) =>
  eventually(
    `the word ${expected}`,
    async () =>
      (await page.locator(".word").getAttribute("data-word")) === expected,
    patience,
  );
const settled = () =>
  eventually(
    "the row is settled",
    async () => (await strip().getAttribute("data-settled")) === "true",
    MINUTES,
  );

// A page that was loaded again has lost it.
const mark = () => page.evaluate(() => (globalThis.marker = "set"));

async function notLoadedAgain() {
  assert.equal(await page.evaluate(() => globalThis.marker), "set");
}

async function edit(site, title) {
  await cell(site).locator(".todo").click();
  const input = cell(site).getByRole("textbox");
  await input.fill(title);
  await input.press("Enter");
  await reads(site, title);
}

test("the token leaves the address, and the page says how the sites are", async () => {
  assert.equal(new URL(page.url()).hash.includes("token"), false);
  await word("Converged");
  assert.match(await page.locator(".facts").textContent(), /Digest.*Since/);
  await page.getByText("Live", { exact: true }).waitFor();
  await picture(page, "01-converged");
});

test("a row written at client-1 is at client-3 without a reload, and its marks settle", async () => {
  await mark();
  await show(page, FILTERED);
  const input = page.getByLabel("title of a new row at client-1");
  await input.fill(`${RUN} buy milk`);
  await input.press("Enter");
  const row = page.locator("tr[data-row]", { hasText: `${RUN} buy milk` });
  await row.waitFor();
  key = await row.getAttribute("data-row");
  await reads("client-3", `${RUN} buy milk`);
  await settled();
  assert.match(
    await strip().textContent(),
    /written at client-1, settled at every site/,
  );
  await picture(page, "02-arrived");
});

/** Opens the row's way, which comes to have a time for every hop. */
async function timed() {
  await page.locator(`tr[data-row="${key}"] .key-button`).click();
  const dialog = page.getByRole("dialog");
  await eventually("every hop is done", async () => {
    const hops = await dialog
      .locator(".way li")
      .evaluateAll((items) =>
        items.map((item) => [
          item.className,
          item.querySelector("time") !== null,
        ]),
      );
    const done =
      hops.length >= 6 &&
      hops.every(([state, timed]) => state === "done" && timed);
    assert.ok(done, JSON.stringify(hops));
    return true;
  });
  return dialog;
}

test("a row's way has a time for every hop", async () => {
  const dialog = await timed();
  assert.match(
    await dialog.locator(".way").textContent(),
    /written at client-1.*captured from client-1's WAL.*in Kafka.*applied at server.*applied at client-3/s,
  );
  await picture(page, "03-way");
  await accessible(page, "a row's way");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

test("client-2 is cut with one click, and the cut is measured", async () => {
  await link("client-2").getByRole("button", { name: /^Both/ }).click();
  await word("Cut");
  await eventually(
    "client-2 is measured to be cut",
    async () => (await link("client-2").getAttribute("data-word")) === "Cut",
    MINUTES,
  );
  const command = await page
    .getByLabel("The present partition as kubectl")
    .textContent();
  assert.match(
    command,
    /^kubectl -n \S+ patch synccluster \S+ --type merge -p '\{"spec":\{"partition":\{"clients":\[2\]/,
  );
  assert.match(
    await page.locator(".picture").textContent(),
    /client-2: cut; uplink cut/,
  );
  await picture(page, "04-cut");
  await accessible(page, "sites while cut");
});

/** As an application at the site does: the page has not asked for it, and hears of it by an event alone. */
async function written(site, title) {
  await api(`/sites/${site}/tables/${TABLE}/rows/${key}`, {
    method: "PATCH",
    body: { values: { title } },
  });
  await reads(site, title);
}

test("both sides write the row, and what differs is marked by a sign and in words", async () => {
  // At the cut client by somebody else: its own changes are live all the same.
  await written("client-2", `${RUN} oat milk`);
  await edit("client-1", `${RUN} soy milk`);
  await reads("client-3", `${RUN} soy milk`);
  await reads("server", `${RUN} soy milk`);
  await reads("client-2", `${RUN} oat milk`);
  assert.match(
    await cell("client-2").textContent(),
    /≠.*differs from the server \(title\)/,
  );
  assert.match(
    await page.locator(`tr[data-row="${key}"] td.key`).textContent(),
    /≠.*differs at client-2/,
  );
  assert.match(await strip().textContent(), /pending at client-2 \(cut\)/);
  const { hops } = await api(`/tables/${TABLE}/rows/${key}/way`);
  assert.deepEqual(
    hops
      .filter(({ state }) => state === "pending")
      .map(({ hop, site, detail }) => [hop, site, detail]),
    [["applied", "client-2", "cut"]],
  );
  await show(page, `${FILTERED}&only=different`);
  await page.locator(`tr[data-row="${key}"]`).waitFor();
  await picture(page, "05-differs");
  await accessible(page, "rows that differ");
  await show(page, FILTERED);
});

test("healed, every site has the later write", async () => {
  await page.getByRole("button", { name: "Heal all" }).click();
  await reads("client-2", `${RUN} soy milk`);
  await word("Converged");
  await settled();
  assert.match(await page.locator(".facts").textContent(), /Last heal took/);
  await picture(page, "06-healed");
});

const conflict = () =>
  page.locator("[data-conflict]", { hasText: `${RUN} oat milk` });

test("the write that lost is kept, with both sides", async () => {
  await page.getByRole("link", { name: /^Conflicts/ }).click();
  await conflict().waitFor();
  const row = conflict().locator("tr.differs", { hasText: "title" });
  const [won, lost] = await row.locator("td").allTextContents();
  assert.deepEqual([won, lost], [`${RUN} soy milk`, `${RUN} oat milk`]);
  assert.match(await conflict().textContent(), /client-1 won over client-2/);
  await picture(page, "07-conflict");
  await accessible(page, "conflicts");
});

test("a loser is not made again over what was written since, before somebody has seen that", async () => {
  await api(`/sites/server/tables/${TABLE}/rows/${key}`, {
    method: "PATCH",
    body: { values: { title: `${RUN} rice milk` } },
  });
  await conflict().getByRole("button", { name: "Re-apply the loser" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("This row was changed meanwhile").waitFor();
  assert.match(
    await dialog.locator("tbody").textContent(),
    new RegExp(`${RUN} oat milk.*${RUN} rice milk`),
  );
  await accessible(page, "a conflict that was overtaken");
  await dialog.getByRole("button", { name: "Keep what is there" }).click();
  const { values } = await api(`/sites/server/tables/${TABLE}/rows/${key}`);
  assert.equal(values.title, `${RUN} rice milk`);
});

test("the loser is made again, as a new write that travels", async () => {
  await conflict().getByRole("button", { name: "Re-apply the loser" }).click();
  await page
    .getByRole("dialog")
    .getByRole("button", { name: "Re-apply all the same" })
    .click();
  await conflict().getByText("written again as a new change").waitFor();
  await picture(page, "08-reapplied");
  await notLoadedAgain();
  await page.reload();
  await mark();
  await conflict().getByText("was made again already").waitFor();
  assert.equal(
    await conflict().getByRole("button", { name: "Re-apply" }).count(),
    0,
  );
  await show(page, FILTERED);
  for (const site of ["server", "client-1", "client-2", "client-3"])
    await reads(site, `${RUN} oat milk`);
  await settled();
  await picture(page, "09-oat-milk-everywhere");
});

test("a change that somebody else made meanwhile is shown beside one's own, and nothing is overwritten", async () => {
  await cell("client-1").locator(".todo").click();
  const input = cell("client-1").getByRole("textbox");
  await input.fill(`${RUN} mine`);
  const { version } = await api(`/sites/client-1/tables/${TABLE}/rows/${key}`);
  await api(`/sites/client-1/tables/${TABLE}/rows/${key}`, {
    method: "PATCH",
    headers: { "If-Match": `"${version}"` },
    body: { values: { title: `${RUN} theirs` } },
  });
  await reads("client-3", `${RUN} theirs`);
  await input.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("This row was changed meanwhile").waitFor();
  assert.match(
    await dialog.locator("tbody").textContent(),
    new RegExp(`${RUN} mine.*${RUN} theirs`),
  );
  await picture(page, "10-changed-since");
  await accessible(page, "changed since");
  await dialog.getByRole("button", { name: "Keep what is there" }).click();
  await reads("client-1", `${RUN} theirs`);
});

test("a delete can be undone", async () => {
  await cell("client-3").hover();
  await cell("client-3")
    .getByRole("button", { name: "Delete this row at client-3" })
    .click();
  await page.getByRole("button", { name: "Undo" }).click();
  for (const site of ["client-3", "client-1", "server"])
    await reads(site, `${RUN} theirs`);
  await settled();
});

const asked = () => api("/partition").then(({ partition }) => partition);

/** The resource asks for this. */
const cutAs = (clients, way, heal_after) =>
  eventually(`${way} of ${clients}`, async () => {
    const found = await asked();
    assert.deepEqual(
      [found?.clients, found?.link, found?.heal_after],
      [clients, way, heal_after],
    );
    return true;
  });

/** What a button of the connections copied. */
async function copied(site, name) {
  await page.evaluate(() => {
    navigator.clipboard.writeText = (text) =>
      Promise.resolve((globalThis.copied = text));
  });
  await link(site).getByLabel(`Copy as kubectl for ${site}`).first().click();
  await link(site).getByRole("button", { name }).click();
  return page.evaluate(() => globalThis.copied);
}

test("a choice can be had as kubectl before it is made, with its link and its time", async () => {
  const choices = link("client-3").getByLabel("Copy as kubectl for client-3");
  await choices.first().click();
  await accessible(page, "choices as kubectl");
  await page.keyboard.press("Escape");
  await link("client-2").getByRole("button", { name: /^Both/ }).click();
  await cutAs([2], "Both", null);
  await page.getByLabel("Cut", { exact: true }).selectOption("30m");
  const command = await copied("client-1", /^cut the uplink/);
  assert.match(command, /"clients":\[1,2\].*"link":"Uplink","healAfter":"30m"/);
  assert.deepEqual((await asked()).clients, [2]);
  assert.match(await copied("client-2", /^connect/), /"partition":null/);
});

test("an uplink, a downlink and a time are cut with one click each, and whom it concerns too is said before", async () => {
  const uplink = link("client-3").getByRole("button", { name: /^Uplink/ });
  assert.match(await uplink.getAttribute("title"), /then count for client-2/);
  assert.match(
    await page.locator(".connections .ends").textContent(),
    /next cut makes it last for 30 minutes for client-2 too/,
  );
  await uplink.click();
  await cutAs([2, 3], "Uplink", "30m");
  await link("client-3")
    .getByRole("button", { name: /^Downlink/ })
    .click();
  await cutAs([2, 3], "Downlink", "30m");
  await link("client-3")
    .getByRole("button", { name: /^Connected/ })
    .click();
  await cutAs([2], "Downlink", "30m");
  await eventually("when the cut ends", async () =>
    /heals the cut/.test(
      await page.locator(".connections .ends").textContent(),
    ),
  );
  await page.getByLabel("Cut", { exact: true }).selectOption("");
  await link("client-2").getByRole("button", { name: /^Both/ }).click();
  await cutAs([2], "Both", null);
});

/** Somebody else asks for this while what the page asks for is on its way. */
const meanwhile = (body) =>
  page.route(
    "**/api/v1/partition",
    async (route) => {
      await api("/partition", { method: "PUT", body });
      await route.continue();
    },
    { times: 1 },
  );

test("of two who choose at the same moment neither undoes what the other did", async () => {
  const both = (site) => link(site).getByRole("button", { name: /^Both/ });
  const pressed = (site) =>
    eventually(
      `${site} is shown as cut`,
      async () => (await both(site).getAttribute("aria-pressed")) === "true",
    );
  await meanwhile({ clients: [2, 3] });
  await both("client-1").click();
  await cutAs([1, 2, 3], "Both", null);
  await pressed("client-3");

  await meanwhile({ clients: [1, 2, 3], server: true });
  await page.getByRole("button", { name: "Heal all" }).click();
  const problem = page.locator(".connections .problem");
  await problem.waitFor();
  assert.match(await problem.textContent(), /now concern server too/);
  assert.equal((await asked()).server, true);

  await pressed("server");
  await page.getByRole("button", { name: "Heal all" }).click();
  await word("Converged");
});

test("the grid is worked by keyboard alone", async () => {
  await show(page, `${FILTERED}&layout=grid`);
  await cell("client-1").focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(
    await page.evaluate(() => document.activeElement.dataset.column),
    "done",
  );
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Enter");
  await page.keyboard.type(`${RUN} never saved`);
  await page.keyboard.press("Escape");
  await eventually("the focus is back at the cell", () =>
    page.evaluate(() => document.activeElement.dataset.column === "title"),
  );
  await reads("client-1", `${RUN} theirs`);
  await page.keyboard.press("Enter");
  await page.keyboard.type(`${RUN} by keyboard`);
  await page.keyboard.press("Enter");
  await reads("client-3", `${RUN} by keyboard`);
  await picture(page, "11-grid");
  await accessible(page, "the grid");
});

test("a filter that does not parse says where", async () => {
  await show(page, `#/sites?table=${TABLE}`);
  await page.getByLabel("Filter", { exact: true }).fill("title = = 'x'");
  await page.keyboard.press("Enter");
  const problem = page.locator(".rows .problem");
  await problem.waitFor();
  assert.match(await problem.textContent(), /character \d+/);
});

test("the topics console shows the messages of the row, before and after", async () => {
  await page.getByRole("link", { name: "Topics" }).click();
  await page
    .getByRole("button", { name: /\.client-1$/ })
    .first()
    .click();
  const messages = page.getByRole("list", { name: /^Messages of/ });
  const message = messages
    .locator(".message", { hasText: `id=${key}` })
    .first();
  await message.locator("summary").click();
  await message.locator("table").waitFor();
  await picture(page, "12-topics");
  await accessible(page, "topics");
});

test("a live tail shows what is written now", async () => {
  await page.getByLabel(/^Live tail of .*\.client-3$/).check();
  await page.locator("#tail").waitFor();
  await eventually(
    "the tail is live",
    async () =>
      (await page
        .locator("section[aria-labelledby=tail] .tag")
        .first()
        .textContent()) === "Live",
  );
  const title = `${RUN} tailed`;
  await api(`/sites/client-3/tables/${TABLE}/rows`, {
    method: "POST",
    body: { values: { title } },
  });
  const message = page
    .getByRole("list", { name: "Live messages" })
    .locator(".message")
    .first();
  await message.waitFor();
  assert.match(await message.locator("pre").textContent(), new RegExp(title));
  await picture(page, "13-tail");
  await accessible(page, "live tail");
});

test("components have a state and the end of their logs", async () => {
  await page.getByRole("link", { name: "Components" }).click();
  await page.getByRole("button", { name: /-server-0$/ }).click();
  await eventually(
    "there are logs",
    async () => (await page.locator("pre.log").textContent()).length > 0,
  );
  await picture(page, "14-components");
  await accessible(page, "components");
});

test("a viewer sees everything and is told why nothing can be changed", async () => {
  const viewer = await open(browser, {
    token: process.env.GATEWAY_VIEWER_TOKEN,
    hash: FILTERED,
  });
  await viewer.locator("tr[data-row]").first().waitFor();
  await viewer.getByText("You are signed in as a viewer").first().waitFor();
  assert.ok(
    await viewer.getByLabel("title of a new row at client-1").isDisabled(),
  );
  assert.ok(
    await viewer
      .getByRole("button", { name: /^Both: cut both ways client-2/ })
      .isDisabled(),
  );
  await viewer.locator("td.item .todo").first().click();
  assert.equal(await viewer.locator(".editor").count(), 0);
  await accessible(viewer, "as a viewer");
  await picture(viewer, "15-viewer");
  await viewer.context().close();
});

test("without a token the page asks for one, and says when it is wrong", async () => {
  const context = await browser.newContext();
  const stranger = await context.newPage();
  await stranger.goto(new URL(page.url()).origin);
  await stranger.getByLabel("Token").fill("nonsense");
  await stranger.getByRole("button", { name: "Sign in" }).click();
  await stranger.getByRole("alert").waitFor();
  await accessible(stranger, "sign in");
  await context.close();
});

test("a phone of 360 pixels shows one site at a time and nothing sticks out", async () => {
  const phone = await open(browser, {
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    hash: `#/sites?table=${TABLE}`,
  });
  await phone
    .getByRole("group", { name: "Site that is shown" })
    .getByRole("button", { name: "client-3" })
    .click();
  await phone.locator('td[data-site="client-3"]').first().waitFor();
  assert.equal(await phone.locator('td[data-site="client-1"]').count(), 0);
  for (const view of ["sites", "conflicts", "topics", "components"]) {
    await show(
      phone,
      view === "sites" ? `#/sites?table=${TABLE}&site=client-3` : `#/${view}`,
    );
    await phone.locator("main .panel").first().waitFor();
    await eventually(
      `${view} has been read`,
      async () => (await phone.locator("main .loading").count()) === 0,
    );
    assert.ok(
      (await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360,
      `${view} is wider than the phone`,
    );
    await picture(phone, `16-phone-${view}`);
    await accessible(phone, `${view} on a phone`);
  }
  assert.deepEqual(phone.faults, []);
  await phone.context().close();
});

/** How a browser that has nothing of the page gets it: when its first row stands there, and all that was transferred until then. */
async function arrival() {
  const context = await browser.newContext({
    storageState: await page.context().storageState(),
  });
  const fresh = await context.newPage();
  // Seen by the page itself: how soon the test hears of it is not the page's.
  await fresh.addInitScript(() =>
    new MutationObserver((_, observer) => {
      if (document.querySelector("tr[data-row]") === null) return;
      globalThis.usable = Math.round(performance.now());
      observer.disconnect();
    }).observe(document, { childList: true, subtree: true }),
  );
  await fresh.goto(`${new URL(page.url()).origin}/#/sites?table=${TABLE}`);
  await fresh.locator("tr[data-row]").first().waitFor();
  const found = await fresh.evaluate(() => {
    const took = [
      ...performance.getEntriesByType("navigation"),
      ...performance.getEntriesByType("resource"),
    ];
    return {
      usable: globalThis.usable,
      bytes: took.reduce((sum, { transferSize }) => sum + transferSize, 0),
      // Where the time goes, should it be too long: asked for, sent once there is a connection, begun to be answered, and answered.
      parts: took.map((each) =>
        [
          each.startTime,
          each.requestStart,
          each.responseStart,
          each.responseEnd,
        ]
          .map(Math.round)
          .join(" ")
          .concat(` ${new URL(each.name).pathname}`),
      ),
    };
  });
  await context.close();
  return found;
}

test("the page is under 200 kB and usable within a second", async () => {
  // The best of some: other work of the machine is not the page's, and only adds.
  const measured = [await arrival(), await arrival()];
  await eventually(
    "usable within a second",
    async () => {
      measured.push(await arrival());
      const usable = Math.min(...measured.map((each) => each.usable));
      assert.ok(usable < 1000, JSON.stringify(measured.at(-1)));
      return true;
    },
    MINUTES,
  );
  const usable = measured.map((each) => each.usable).join(", ");
  const bytes = Math.max(...measured.map((each) => each.bytes));
  console.log(
    `usable after ${usable} ms, ${(bytes / 1000).toFixed(1)} kB transferred with the first rows`,
  );
  assert.ok(bytes < 200_000, `${bytes} bytes`);
});

test("the gateway is restarted, and the page comes back by itself", async () => {
  const { execFile } = await import("node:child_process");
  const { needed } = await import("./browser.mjs");
  await show(page, FILTERED);
  await reads("client-1", `${RUN} by keyboard`);
  await page.evaluate(() => {
    globalThis.wasAway = false;
    new MutationObserver(
      () => (globalThis.wasAway ||= document.querySelector(".banner") !== null),
    ).observe(document.body, { childList: true, subtree: true });
  });
  const restarted = new Promise((then, fail) =>
    execFile("sh", ["-c", needed("RESTART_COMMAND")], (error, out, said) =>
      error ? fail(new Error(`${error.message}\n${out}${said}`)) : then(),
    ),
  );
  await eventually(
    "the page says that the gateway is away",
    () => page.evaluate(() => globalThis.wasAway),
    MINUTES,
  );
  await picture(page, "17-away");
  await restarted;
  await eventually(
    "the page is live again",
    async () =>
      (await page.locator(".about .tag").first().textContent()) === "Live" &&
      (await page.locator(".banner").count()) === 0,
    MINUTES,
  );
  await eventually("the gateway takes writes", async () => {
    await api(`/sites/client-2/tables/${TABLE}/rows/${key}`, {
      method: "PATCH",
      body: { values: { title: `${RUN} after the restart` } },
    });
    return true;
  });
  await reads("client-2", `${RUN} after the restart`);
  await reads("client-3", `${RUN} after the restart`);
  // It may have been written before the gateway read the topics: then nobody tells the page when its times are known.
  const dialog = await timed();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await notLoadedAgain();
  await picture(page, "18-back");
});

test("nothing was asked of anybody else, and nothing failed inside the page", () => {
  assert.deepEqual(page.faults, []);
});
