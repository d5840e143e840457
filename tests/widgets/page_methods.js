// What the page's methods say of each case, by `data.ask`: attributions, or how far to trust them.
import { faithfulness, stepsTo } from "./page_model/page_faithfulness.js";
import { attributors } from "./page_model/page_methods.js";
import { question } from "./page_model/page_targets.js";
const floats = (base64) => new Float32Array(bytes(base64).buffer);
const ended = (work) => {
  while ("next" in work) {
    const { done, value } = work.next();
    if (done) return value;
  }
  return work;
};
const attributions = ({ rgb, text, objects, random, targets }) => targets.map((target) => {
  const of = attributors(model, objects, { ...payload.seeds, random });
  const asked = question(model, bytes(rgb), text, target);
  return Object.fromEntries(Object.entries(of).map(([name, method]) => {
    const { pieces, patches } = ended(method(asked));
    return [name, [[...pieces], [...patches]]];
  }));
});
const trust = ({ rgb, text, target, pieces, patches }) => {
  const rows = { pieces: floats(pieces), patches: floats(patches) };
  return ended(faithfulness(model, question(model, bytes(rgb), text, target), rows, payload.seeds, target.truth));
};
answer({
  steps: Array.from({ length: 300 }, (_, count) => stepsTo(count)),
  told: data.cases.map({ attributions, trust }[data.ask]),
});
