// @ts-check
// Attribution by gradients, and by what knows nothing of the model: the rest of xfm/explain/methods in the page.
import { beforeFusion, gathered, identity, meanHead, meanOf, twister, uniform } from "./page_attribution.js";
import { noMaps } from "./page_questions.js";
import { dot, meanRow } from "./page_tensor.js";

/** @import { Matrix, Rows } from "./page_attribution.js" */
/** @import { Question } from "./page_targets.js" */
/** @import { Inputs, PageModel } from "./page_xfm.js" */
/** @typedef {{ patches: Float32Array, pieces: Float32Array }} Embedded (P, D) and (L, D) */

// as in Python
const STEPS = 32; // of integrated gradients
const [SMOOTH, NOISE] = [20, 0.15]; // noisy copies, and the noise as a share of the inputs' range
const SHAP = 24; // samples

/**
 * A target differentiated by what is embedded, by what the encoders return, and by every attention weight
 * @param {PageModel} model
 * @param {Question} question
 * @param {Embedded} at
 */
function differentiated(model, { given, node }, { patches, pieces } = given) {
  const net = model.recorded();
  const maps = noMaps();
  const [text, image] = [net.encodeText(pieces, maps), net.encodeImage(patches, maps)];
  const score = node(net, { text, patches: image, fused: net.fuse(text, net.remembered(image), maps) });
  if (!score) throw new RangeError("the model has no head of this target");
  net.back(score);
  return {
    maps,
    encoded: { patches: image, pieces: text },
    /** @param {Float32Array} x */
    by: (x) => net.gradient(x),
    gradients: { patches: net.gradient(patches), pieces: net.gradient(pieces) },
  };
}

/**
 * A number a row
 * @param {Float32Array} x (rows, width)
 * @param {number} width
 * @param {(row: Float32Array, at: number) => number} of
 */
const rowwise = (x, width, of) =>
  Float32Array.from({ length: x.length / width }, (_, i) => of(x.subarray(i * width, (i + 1) * width), i * width));

/** @param {PageModel} model @param {Embedded} gradients @returns {Rows} */
const norms = (model, { patches, pieces }) => ({
  patches: rowwise(patches, model.visionWidth, (row) => Math.sqrt(dot(row, row))),
  pieces: rowwise(pieces, model.textWidth, (row) => Math.sqrt(dot(row, row))),
});

/** Of each row the product with a gradient @param {PageModel} model @param {Embedded} x @param {Embedded} gradients @returns {Rows} */
function products(model, x, gradients) {
  /** @param {"patches" | "pieces"} side @param {number} width */
  const of = (side, width) => rowwise(x[side], width, (row, at) => dot(row, gradients[side].subarray(at, at + width)));
  return { patches: of("patches", model.visionWidth), pieces: of("pieces", model.textWidth) };
}

/** The gradient's norm (Simonyan et al., 2013) @param {PageModel} model @param {Question} question */
export const saliency = (model, question) => norms(model, differentiated(model, question).gradients);

/** @param {PageModel} model @param {Question} question */
export const inputGradient = (model, question) =>
  products(model, question.given, differentiated(model, question).gradients);

/**
 * The sum of gradients at several inputs, each times a factor, one by one
 * @param {PageModel} model
 * @param {Question} question
 * @param {{ at: Embedded, factor: number }[]} points
 * @returns {Generator<string, Embedded>}
 */
function* summed(model, question, points) {
  const { patches, pieces } = question.given;
  const sum = { patches: new Float32Array(patches.length), pieces: new Float32Array(pieces.length) };
  for (const [i, { at, factor }] of points.entries()) {
    const { gradients } = differentiated(model, question, at);
    for (const side of /** @type {const} */ (["patches", "pieces"]))
      gradients[side].forEach((value, j) => {
        sum[side][j] += factor * value;
      });
    yield `gradient ${i + 1} of ${points.length}`;
  }
  return sum;
}

/**
 * The norm of the mean gradient over noisy inputs (SmoothGrad: Smilkov et al., 2017), with torch's draws
 * @param {PageModel} model
 * @param {Question} question
 * @param {number} seed 32 bits
 * @returns {Generator<string, Rows>}
 */
export function* smoothGrad(model, question, seed) {
  const random = twister(seed);
  const [patches, pieces] = [question.given.patches, question.given.pieces].map((x) => {
    const range = x.reduce((a, b) => Math.max(a, b)) - x.reduce((a, b) => Math.min(a, b));
    return { x, noise: normals(SMOOTH * x.length, random), deviation: NOISE * range };
  });
  const points = Array.from({ length: SMOOTH }, (_, copy) => {
    const [noisyPatches, noisyPieces] = [patches, pieces].map(({ x, noise, deviation }) =>
      x.map((value, i) => value + deviation * noise[copy * x.length + i]),
    );
    return { at: { patches: noisyPatches, pieces: noisyPieces }, factor: 1 / SMOOTH };
  });
  return norms(model, yield* summed(model, question, points));
}

/**
 * torch.randn on a CPU, of 16 numbers or more
 * @param {number} count
 * @param {() => number} random 32 bits
 */
export function normals(count, random) {
  const out = Float32Array.from({ length: count }, () => uniform(random));
  /** @param {number} at */
  function pair(at) {
    for (let i = at; i < at + 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - out[i]));
      const angle = 2 * Math.PI * out[i + 8];
      [out[i], out[i + 8]] = [radius * Math.cos(angle), radius * Math.sin(angle)];
    }
  }
  for (let at = 0; at < count - 15; at += 16) pair(at);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) out[i] = uniform(random);
    pair(count - 16);
  }
  return out;
}

/**
 * Between everything masked (0) and everything as it is (1)
 * @param {Inputs} given
 * @param {number} share
 * @returns {Embedded}
 */
function between({ patches, pieces, maskedPatches, maskedPieces }, share) {
  return {
    patches: patches.map((value, i) => maskedPatches[i] + share * (value - maskedPatches[i])),
    pieces: pieces.map((value, i) => maskedPieces[i] + share * (value - maskedPieces[i])),
  };
}

/** What masking changes @param {Inputs} given @returns {Embedded} */
const changes = ({ patches, pieces, maskedPatches, maskedPieces }) => ({
  patches: patches.map((value, i) => value - maskedPatches[i]),
  pieces: pieces.map((value, i) => value - maskedPieces[i]),
});

/**
 * Integrated gradients (Sundararajan et al., 2017), from everything masked to everything as it is
 * @param {PageModel} model
 * @param {Question} question
 * @returns {Generator<string, Rows>}
 */
export function* integrated(model, question) {
  const points = gaussLegendre(STEPS).map(({ at, weight }) => ({ at: between(question.given, at), factor: weight }));
  return products(model, changes(question.given), yield* summed(model, question, points));
}

/**
 * Places and weights of Gauss-Legendre quadrature between 0 and 1
 * @param {number} n
 */
export function gaussLegendre(n) {
  return Array.from({ length: n }, (_, i) => {
    let x = -Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let step = 0; step < 8; step++) {
      let [before, now] = [1, x];
      for (let k = 2; k <= n; k++) [before, now] = [now, ((2 * k - 1) * x * now - (k - 1) * before) / k];
      slope = (n * (x * now - before)) / (x * x - 1);
      x -= now / slope;
    }
    return { at: (1 + x) / 2, weight: 1 / ((1 - x * x) * slope * slope) };
  });
}

/**
 * GradientSHAP (Lundberg and Lee, 2017), with numpy's draws
 * @param {PageModel} model
 * @param {Question} question
 * @param {number} seed 32 bits
 * @returns {Generator<string, Rows>}
 */
export function* gradientShap(model, question, seed) {
  const random = twister(seed);
  const fine = () => ((random() >>> 5) * 2 ** 26 + (random() >>> 6)) / 2 ** 53;
  const shares = Array.from({ length: SHAP }, () => Math.fround(fine()));
  const points = shares.map((share) => ({ at: between(question.given, share), factor: 1 / SHAP }));
  return products(model, changes(question.given), yield* summed(model, question, points));
}

/**
 * Grad-CAM (Selvaraju et al., 2017) on what the two encoders return: channels by places
 * @param {PageModel} model
 * @param {Question} question
 * @returns {Rows}
 */
export function gradCam(model, question) {
  const { encoded, by } = differentiated(model, question);
  /** @param {Float32Array} x @param {number} width */
  function of(x, width) {
    const channels = meanRow(by(x), width);
    return rowwise(x, width, (row) => Math.max(0, dot(row, channels)));
  }
  return { patches: of(encoded.patches, model.visionWidth), pieces: of(encoded.pieces, model.textWidth) };
}

// ---- attention and its gradients

/**
 * Of each map and layer (queries, keys), mean over heads, what `of` makes of a weight and its gradient
 * @param {PageModel} model
 * @param {Question} question
 * @param {(weight: number, gradient: number) => number} of
 */
function attended(model, question, of) {
  const { maps, by } = differentiated(model, question);
  const [pieces, tokens] = [question.given.tokens.ids.length, model.grid ** 2 + 1];
  /** @type {(layers: Float32Array[], heads: number, queries: number) => Matrix[]} */
  const means = (layers, heads, queries) =>
    layers.map((weights) => {
      const gradient = by(weights);
      const combined = weights.map((weight, i) => of(weight, gradient[i]));
      return meanHead(combined, heads, queries);
    });
  const { text_heads: ofText, vision_heads: ofVision } = model.config;
  return {
    language: means(maps.language, ofText, pieces),
    vision: means(maps.vision, ofVision, tokens),
    fusion: means(maps.fusion, ofText, pieces),
    cross: means(maps.cross, ofText, pieces),
  };
}

/** Chefer et al., 2021, equation 5 @type {(weight: number, gradient: number) => number} */
const relevance = (weight, gradient) => Math.max(0, weight * gradient);

/** @param {Float32Array} row (1 + P) @returns {Float32Array} the pooled token's part shared by all patches */
const pooledShared = (row) => row.slice(1).map((value) => value + row[0] / (row.length - 1));

/** @param {Matrix} rows @param {number[]} places */
const sumOf = (rows, places) => meanOf(rows, places).map((value) => value * places.length);

/**
 * The last layer's positive part of weight x gradient, summed over the target's tokens
 * @param {PageModel} model
 * @param {Question} question
 * @returns {Rows}
 */
export function attentionGradient(model, question) {
  const { language, vision, fusion, cross } = attended(model, question, relevance);
  if (question.places === null) return beforeFusion(language, vision);
  const [words, image] = [fusion.at(-1), cross.at(-1)];
  if (!words || !image) throw new RangeError("the model has no fusion encoder: no word looks at the picture");
  return { pieces: sumOf(words, question.places), patches: pooledShared(sumOf(image, question.places)) };
}

/** @param {Matrix} a @param {Matrix} b @returns {Matrix} */
const plus = (a, b) => a.map((row, r) => row.map((value, i) => value + b[r][i]));

/** Without what a token keeps of itself @param {Matrix} a */
const beyondItself = (a) => a.map((row, r) => row.map((value, i) => value - Number(r === i)));

/** Each row beyond the identity sums to 1 (equations 8 and 9); 0 where there is nothing beyond @param {Matrix} a */
function normalised(a) {
  return beyondItself(a).map((row, r) => {
    const total = row.reduce((x, y) => x + y, 0);
    return row.map((value, i) => (total > 0 ? value / total : 0) + Number(r === i));
  });
}

/** @param {Matrix} a @returns {Matrix} */
const turned = (a) => Array.from(a[0], (_, c) => Float32Array.from(a, (row) => row[c]));

/**
 * Generic attention explainability (Chefer, Gur and Wolf, 2021): equations 5 to 9 within a modality, 8 to 11 across
 * @param {PageModel} model
 * @param {Question} question
 * @returns {Rows}
 */
export function genericAttention(model, question) {
  const maps = attended(model, question, relevance);
  /** @param {Matrix[]} layers @param {number} size */
  const composed = (layers, size) =>
    layers.reduce((tokens, layer) => plus(tokens, gathered(layer, tokens)), identity(size));
  const image = composed(maps.vision, model.grid ** 2 + 1);
  let text = composed(maps.language, question.given.tokens.ids.length);
  if (question.places === null) return beforeFusion([beyondItself(text)], [beyondItself(image)]);
  const rows = normalised(image).slice(1);
  const memory = [sumOf(rows, [...rows.keys()]).map((value) => value / rows.length), ...rows];
  /** @type {Matrix} */
  let across = text.map(() => new Float32Array(image.length));
  maps.fusion.forEach((within, layer) => {
    [text, across] = [plus(text, gathered(within, text)), plus(across, gathered(within, across))];
    across = plus(across, gathered(turned(normalised(text)), gathered(maps.cross[layer], memory)));
  });
  return { pieces: sumOf(beyondItself(text), question.places), patches: sumOf(across, question.places).slice(1) };
}

/**
 * After LeGrad (Bousselham et al., 2024): positive gradients by the weights, mean over heads and queries, summed over layers
 * @param {PageModel} model
 * @param {Question} question
 * @returns {Rows}
 */
export function layerGradients(model, question) {
  const { language, vision, fusion, cross } = attended(model, question, (_, gradient) => Math.max(0, gradient));
  /** @param {Matrix[]} layers @param {number} keys */
  const all = (layers, keys) =>
    layers.reduce((sum, layer) => {
      const mean = meanOf(layer, [...layer.keys()]);
      return sum.map((value, i) => value + mean[i]);
    }, new Float32Array(keys));
  const [pieces, tokens] = [question.given.tokens.ids.length, model.grid ** 2 + 1];
  const ofFusion = pooledShared(all(cross, tokens));
  const words = all(fusion, pieces);
  return {
    pieces: all(language, pieces).map((value, i) => value + words[i]),
    patches: all(vision, tokens)
      .slice(1)
      .map((value, i) => value + ofFusion[i]),
  };
}

// ---- what knows nothing of the model

/** The same for each word, shared by its pieces @param {Inputs} given */
function alikeWords({ tokens: { owner, words } }) {
  const sizes = words.map((_, word) => owner.filter((own) => own === word).length);
  return Float32Array.from(owner, (word) => (word < 0 ? 0 : 1 / sizes[word] / words.length));
}

/**
 * Uniform in [0, 1): Python's draw where the seed is that of the picture and the text
 * @param {Inputs} given
 * @param {number} patches how many
 * @param {number} seed 32 bits
 * @returns {Rows}
 */
export function chance({ tokens }, patches, seed) {
  const random = twister(seed);
  return {
    pieces: Float32Array.from(tokens.ids, () => uniform(random)),
    patches: Float32Array.from({ length: patches }, () => uniform(random)),
  };
}

/** A Gaussian in the middle, its deviation a quarter of the side @param {Inputs} given @param {number} grid @returns {Rows} */
export function centre(given, grid) {
  const bump = Array.from({ length: grid }, (_, i) => Math.exp(-((((i + 0.5) / grid - 0.5) / 0.25) ** 2) / 2));
  return { pieces: alikeWords(given), patches: Float32Array.from(bump.flatMap((y) => bump.map((x) => x * y))) };
}

/** Mean absolute differences of neighbouring pixels in each patch @param {Inputs} given @param {number} grid @returns {Rows} */
export function edges(given, grid) {
  const side = Math.sqrt(given.rgb.length / 3);
  const size = side / grid;
  const grey = (/** @type {number} */ i) => (given.rgb[3 * i] + given.rgb[3 * i + 1] + given.rgb[3 * i + 2]) / 765;
  const patches = new Float32Array(grid * grid);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const i = y * side + x;
      const above = y ? Math.abs(grey(i) - grey(i - side)) : 0;
      const before = x ? Math.abs(grey(i) - grey(i - 1)) : 0;
      patches[Math.floor(y / size) * grid + Math.floor(x / size)] += (above + before) / size / size;
    }
  return { pieces: alikeWords(given), patches };
}
