import assert from "node:assert/strict";
import test from "node:test";
import { effectSentence, levelsSentence, named, verdict } from "../xfm_widgets/static/effect_sentence.js";

const METRIC = { unit: "nats", better: "lower" };
const EFFECT = {
  ...{ effect: 0.02, low: 0.01, high: 0.03, n: 6, p: 0.01, note: "", against: "xfm", verdict: "worse" },
  ...{ p_holm: 0.04, judged_by: "Holm", correction: "Holm" },
};

test("the correction that is named is the one that was applied", () => {
  const gated = { ...EFFECT, judged_by: "interval", correction: "gatekeeping" };
  const alone = { ...EFFECT, judged_by: "interval", correction: "", p_holm: null };
  assert.match(effectSentence(METRIC, EFFECT, "v"), /p 0.0100 \(Holm 0.0400\): worse$/);
  assert.match(effectSentence(METRIC, gated, "v"), /p 0.0100 \(gates 0.0400\): worse \(uncorrected\)$/);
  assert.match(effectSentence(METRIC, alone, "v"), /p 0.0100: worse \(uncorrected\)$/);
  const shut = { ...EFFECT, verdict: "not tested: its gate is shut", correction: "gatekeeping", p_holm: 1 };
  assert.match(effectSentence(METRIC, shut, "v"), /\(gates 1.0000\): not tested: its gate is shut$/);
  const studies = [[alone, gated], [alone, EFFECT], [alone], []];
  const names = (what) => studies.map((effects) => named(effects, what));
  assert.deepEqual(names("correction"), ["gates", "Holm", "", ""]);
  assert.deepEqual(names("judged_by"), ["", "Holm", "", ""]);
});

test("a verdict by an interval is said to be uncorrected, as the study's tables say it", () => {
  const alone = { ...EFFECT, judged_by: "interval" };
  const none = { ...alone, verdict: "no difference shown" };
  assert.equal(verdict(METRIC, alone), "worse (uncorrected)");
  assert.equal(verdict({ ...METRIC, better: "" }, { ...alone, verdict: "different" }), "higher (uncorrected)");
  assert.equal(verdict(METRIC, none), "not shown to differ (uncorrected)");
  assert.equal(verdict(METRIC, { ...none, equivalent: "yes" }), "equivalent");
  assert.equal(verdict(METRIC, { ...alone, low: null }), "too few seeds");
  const near = "no variant beats the baseline";
  assert.equal(verdict(METRIC, { ...none, verdict: near }), near);
  assert.equal(verdict(METRIC, EFFECT), "worse");
});

test("equivalence is said where the spec has a margin, whatever the verdict", () => {
  const same = { ...EFFECT, verdict: "no difference shown", equivalent: "yes", margin: 0.04, p_equivalent: 0.003 };
  const said = effectSentence(METRIC, same, "v");
  assert.match(said, /: equivalent within ±0.0400 \(TOST 0.0030\)$/);
  const differs = { ...same, verdict: "worse", equivalent: "not shown", p_equivalent: 0.2 };
  assert.match(
    effectSentence(METRIC, differs, "v"),
    /: worse; not shown to be equivalent within ±0.0400 \(TOST 0.2000\)$/,
  );
  const unknown = { ...same, equivalent: "", margin: null, p_equivalent: null };
  assert.match(effectSentence(METRIC, unknown, "v"), /: not shown to differ$/);
});

test("an effect stands beside what has learnt nothing and what this training began with", () => {
  const level = { baseline: 6.9151, baseline_name: "unigram", ngram: null, step_0: 4.3774, unit: "nats", floor: false };
  const share = { ...level, baseline: 0.045, baseline_name: "raw pixels", step_0: 0.0538, unit: "%" };
  assert.equal(levelsSentence(level), "Baseline (unigram): 6.9151 nats. Before this training: 4.3774 nats.");
  assert.equal(levelsSentence(share), "Baseline (raw pixels): 4.50 %. Before this training: 5.38 %.");
  assert.equal(
    levelsSentence({ ...level, baseline: null }),
    "Baseline: none is known. Before this training: 4.3774 nats.",
  );
  assert.match(
    levelsSentence({ ...level, ngram: 3.8 }),
    /nats. An n-gram of the two visible neighbours: 3.8000 nats. B/,
  );
  const early = levelsSentence({ ...level, step_0: null, floor: true });
  assert.match(early, /^Baseline \(unigram\): 6.9151 nats. Every variant is near the baseline: /);
});
