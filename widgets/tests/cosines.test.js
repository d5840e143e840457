import assert from "node:assert/strict";
import test from "node:test";
import { cosineOf } from "../xfm_widgets/static/cosines.js";

test("a pair is found in either order, a loss has 1 with itself, and null is not 0", () => {
  const pairs = { "itm mlm": -0.25, "bbp itm": 0, "imlm mlm": null };
  assert.equal(cosineOf(pairs, "mlm", "itm"), -0.25);
  assert.equal(cosineOf(pairs, "itm", "mlm"), -0.25);
  assert.equal(cosineOf(pairs, "itm", "bbp"), 0);
  assert.equal(cosineOf(pairs, "itm", "itm"), 1);
  for (const [a, b] of [
    ["imlm", "mlm"],
    ["mlm", "mim"],
  ])
    assert.equal(cosineOf(pairs, a, b), null);
});
