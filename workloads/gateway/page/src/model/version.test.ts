import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, decode } from "./version.ts";

test("a version says when and where it was made, beyond what a double holds", () => {
  const version = String((1795221267123456n << 10n) | 2n);
  assert.deepEqual(decode(version), { at: 1795221267123.456, site: "client-2" });
  assert.equal(decode(String(1795221267123456n << 10n))?.site, "server");
});

test("what is no version is not decoded", () => {
  for (const bad of [null, undefined, "", "x", "1.5", "-5", "99999999999999999999"])
    assert.equal(decode(bad), undefined);
});

test("versions compare as integers, not as text or doubles", () => {
  assert.equal(compare("9", "10"), -1);
  assert.equal(compare("1838306578554418178", "1838306578554418177"), 1);
  assert.equal(compare("5", "5"), 0);
  assert.equal(compare(null, "0"), -1);
  assert.equal(compare(undefined, null), 0);
});
