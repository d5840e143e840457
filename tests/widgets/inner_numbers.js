// How far the numbers inside an attention are from the attention, by encoder and layer.
import { innerNumbers, dotProduct } from "./explorable/inner_numbers.js";
import { noMaps } from "./page_model/page_questions.js";
const given = model.inputs(bytes(data.image), data.caption);
const maps = noMaps();
model.outputs(given, {}, maps);
const inner = innerNumbers(payload);
const [words, patches, heads] = [given.tokens.ids.length, model.grid ** 2, model.config.text_heads];
const worst = {};
for (const [name, map, queries, keys, skip] of [["language", "language", words, words, 0],
    ["fusion", "cross", words, patches + 1, 0], ["vision", "vision", patches + 1, patches + 1, 1]])
  worst[name] = maps[map].map((weights, layer) => {
    const inside = inner[name](layer, given);
    const width = inside.queries.length / (queries - skip);
    let most = 0;
    for (let head = 0; head < heads; head++)
      for (let i = skip; i < queries; i++) {
        const row = weights.subarray((head * queries + i) * keys, (head * queries + i + 1) * keys);
        const score = (j) => dotProduct(inside, heads, width, head, i - skip, j - skip).score;
        // a softmax is known by its ratios, also where one of its keys is unknown
        const best = row.indexOf(row.subarray(skip).reduce((a, b) => Math.max(a, b)), skip);
        const top = score(best);
        for (let j = skip; j < keys; j++)
          most = Math.max(most, Math.abs(row[best] * Math.exp(score(j) - top) - row[j]));
      }
    return most;
  });
answer(worst);
