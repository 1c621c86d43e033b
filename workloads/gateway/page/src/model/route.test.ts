import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRoute, parseRoute, tokenOf, withQuery } from "./route.ts";

test("a route survives its own text", () => {
  const route = {
    view: "sites",
    query: { table: "public.todos", filter: "title = 'a & b? c=d' and id > 5", only: "different" },
  } as const;
  assert.deepEqual(parseRoute(formatRoute(route)), route);
});

test("an address without a view, or with one that is not there, shows the sites", () => {
  for (const hash of ["", "#", "#/", "#/nonsense", "#token=x"]) assert.equal(parseRoute(hash).view, "sites");
  assert.deepEqual(parseRoute("#/topics"), { view: "topics", query: {} });
});

test("parameters are added and taken away, and one route has one text", () => {
  const route = withQuery(withQuery(parseRoute("#/sites?b=2&a=1"), { c: "3" }), { a: undefined, b: "" });
  assert.equal(formatRoute(route), "#/sites?c=3");
  assert.equal(formatRoute(parseRoute("#/sites?b=2&a=1")), formatRoute(parseRoute("#/sites?a=1&b=2")));
});

test("a token is found in the fragment, with and without a slash", () => {
  assert.equal(tokenOf("#token=ab-c_1"), "ab-c_1");
  assert.equal(tokenOf("#/token=x"), "x");
  assert.equal(tokenOf("#/sites?table=t"), undefined);
  assert.equal(tokenOf("#token="), undefined);
});
