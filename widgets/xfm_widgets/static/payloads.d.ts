// What the views send to the browser: the one place where its shape is written down. Arrays travel as little-endian bytes.
//
// `tsc` checks the views' JavaScript against these types, tests/widgets/conftest.py what Python really sends, and
// tests/widgets/test_view.py that the interfaces of traits, at the end, are those of the views.

/** A whole number */
export type Int = number;

export type Encoder = "language" | "vision" | "fusion";

export type LossKind = "text" | "image" | "contrast" | "fusion";

export type Side = "words" | "patches";

/** By target */
export type Scores = Record<string, number | null>;

// ---- gradient flow

export interface FlowLoss {
  name: string;
  title: string;
  kind: LossKind; // where it stands, and so what its gradient has to cross
  encoders: Encoder[]; // that its gradient reaches where nothing is stopped
}

export interface EncoderNorms {
  language: number | null;
  vision: number | null;
  fusion: number | null;
}

/** By encoder and "itm mlm"; null: one of the two has no path */
export type Cosines = Record<string, Scores>;

export interface FlowRecord {
  step: Int;
  norm: Record<string, EncoderNorms>; // by loss, as if nothing were stopped
  cosine: Cosines; // empty: not measured
}

export interface GradientFlowPayload {
  records: Record<string, FlowRecord[]>; // by MIM target
  objectives: FlowLoss[];
}

// ---- trace explorer

export interface CodedWeights {
  codes: DataView; // uint8 (layer, head, query, key), each row's largest as 255
  scale: DataView; // float32 (layer, head, query), each row's largest
}

export interface PackedMap extends CodedWeights {
  size: Int[]; // layers, heads, queries, keys
  queries: Side;
  keys: Side;
  entropy: DataView; // float32 (layer, head)
  mass: DataView; // float32 (layer, head)
  counted: string; // what the mass is of, in words
  rollout?: CodedWeights;
}

export interface TraceBox {
  box: number[]; // x, y, width, height in pixels
  pieces: Int[];
}

export interface PackedTrace {
  maps: Record<string, PackedMap>;
  pieces: string[];
  owner: Int[]; // of each piece, its word; -1: none
  grid: Int;
  side: Int;
  image: DataView; // uint8 (side, side, 3)
  crisp?: DataView; // a file of the same picture at a screen's resolution; empty: none
  boxes: TraceBox[];
}

export interface TraceExplorerPayload {
  labels: string[];
  traces: Record<string, PackedTrace>;
  takes: boolean; // sentences and pictures of the reader's own
}

/** Empty before anything was asked for */
export interface SentTrace {
  label?: string;
  trace?: PackedTrace;
}

// ---- training monitor

export interface MonitorLevel {
  value: number;
  name: string;
  kind: "chance" | "constant"; // what the config implies, or what a constant prediction reaches on the data
}

export interface MonitorRun {
  label: string;
  state: string;
  of: Int; // steps in all
  joins: Record<string, Int>; // by curve: its loss joins after this step
  levels: Record<string, MonitorLevel>; // by curve: what is reached without having learnt anything
  curriculum: Int[]; // pairs show one object until this step, all that they have from that one; or empty
  every: Int; // steps that a point is the mean of
  curves: Record<string, DataView>; // float32: steps done, value, steps done, value, ...
}

export interface MonitorPanel {
  key: string; // of the curve
  group: string;
  title: string;
  unit: string;
  dense: boolean; // a value a step or nearly, so that a running mean tells more than the values
}

export interface TrainingMonitorPayload {
  version: Int;
  runs: MonitorRun[];
  groups: string[];
  live: boolean;
  panels: MonitorPanel[];
}

/** Empty before anything is new */
export interface MonitorNews {
  version?: Int;
  runs?: Record<string, DataView>[];
}

// ---- attribution lab

/** Score, value, baselines' values, more is better */
export type Trusted = [string, number | null, ([string, number | null])[], boolean];

export interface DrawnAttribution {
  method: string;
  target: string;
  signed: boolean;
  unit: string; // "the target's unit", "share of attention", ...; "": its own
  gap: number | null;
  beyond: [number, number] | null; // 95 % interval of what it explains of masking, less what equal numbers do
  trust: Trusted[];
  patches: DataView; // float32
  words: DataView; // float32
}

export interface LabObject {
  name: string;
  mask: DataView; // a bit a pixel
  patches: Int[];
}

export interface RemovedParts {
  words: Int[];
  objects: string[];
  patches: Int[];
}

export interface AttributionLabPayload {
  image: DataView;
  crisp?: DataView; // a file of the same picture at a screen's resolution; empty: none
  side: Int;
  grid: Int;
  words: string[];
  owner: Int[];
  methods: string[];
  targets: string[];
  most: Int; // methods at once
  units: Record<string, string>;
  can: boolean; // Python computes scores after a removal
  takes: boolean; // pictures of the reader's own
  more: string[]; // methods that Python can add
  found: DrawnAttribution[];
  match: number | null; // ITM's log-odds that picture and text belong together; null: not asked
  objects: LabObject[];
}

export interface RemovalScores {
  of?: RemovedParts;
  before?: Scores;
  after?: Scores;
}

/** What a target's text is about, where that is known. */
export interface PageTruth {
  pixels: Int[]; // of each patch, those that are true
  size: Int; // pixels of a patch
  names: Int[]; // pieces that name it
  baselines: Cosines; // scores against it
}

export interface PageTarget {
  name: string;
  places: Int[]; // of a word that is masked and asked for; else empty
  ids: Int[]; // of its tokens
  truth?: PageTruth | null;
}

export interface PageMethod {
  signed: boolean;
  unit: string;
  complete: boolean;
}

export interface SingleRemovals {
  words?: Scores[];
  objects?: Cosines;
}

// ---- ablation explorer

export interface StudyMetric {
  metric: string;
  role: string;
  family: string;
  unit: string;
  better: string; // "higher", "lower", or neither
  baseline: number | null; // what a model that has learnt nothing reaches
  baseline_name: string;
  ngram: number | null; // what a count model of the two visible neighbours reaches
  step_0: number | null; // what the reference's own training began with
  floor: boolean; // every variant is near the baseline, or worse
}

export interface StudyEffect {
  variant: string;
  metric: string;
  against: string;
  note: string;
  verdict: string; // by the test that judges the effect
  judged_by: "Holm" | "gatekeeping" | "interval";
  correction: "Holm" | "gatekeeping" | ""; // of p_holm, whatever judges
  equivalent: "yes" | "not shown" | ""; // within the margin, by two one-sided tests; "": none was stated
  effect: number | null;
  low: number | null;
  high: number | null;
  mean: number | null;
  mean_against: number | null;
  n: number | null;
  p: number | null;
  p_min: number | null;
  p_holm: number | null;
  d: number | null;
  margin: number | null;
  p_equivalent: number | null;
}

export interface StudyBand {
  steps: number[];
  n: Int; // seeds
  mean: (number | null)[];
  least: (number | null)[];
  most: (number | null)[];
  low?: (number | null)[];
  high?: (number | null)[];
}

export interface TableText {
  head: string[];
  rows: string[];
  foot: string[];
}

export interface AblationExplorerPayload {
  name: string;
  kind: string;
  metrics: StudyMetric[];
  variants: string[];
  order: string[]; // of all variants, the reference too
  effects: StudyEffect[];
  pairs: DataView; // float32: metric, variant, seed, value of the reference, value
  texts: Record<string, TableText>;
  curves: Record<string, Record<string, StudyBand>>; // by curve and variant
}

// ---- mask playground

export interface GuessedPiece {
  guesses: ([string, number | null])[];
  truth: number | null;
}

export interface MaskedPiece {
  place: Int;
  piece: string;
  with: GuessedPiece | null;
  without: GuessedPiece | null;
}

export interface HiddenParts {
  patches: Int[];
  pieces: Int[];
}

export interface MaskPlaygroundPayload {
  image: DataView;
  crisp?: DataView; // a file of the same picture at a screen's resolution; empty: none
  side: Int;
  grid: Int;
  pieces: string[];
  owner: Int[];
  can: boolean; // Python guesses what is hidden
  takes: boolean; // pictures of the reader's own
}

export interface MaskAnswer {
  of?: HiddenParts;
  words?: MaskedPiece[];
  agreement?: DataView | null; // float32, a cosine a patch
  target?: string | null;
}

// ---- retrieval explorer

export interface Plane {
  places: DataView; // float32 (2 N, 2): pictures, then sentences
  shares: number[]; // of the variance, along each axis
}

export interface RetrievalExplorerPayload {
  texts: string[];
  side: Int;
  sprite: DataView; // uint8 (N side, side, 3): all pictures below each other
  crisp: DataView[]; // files of the same pictures at a screen's resolution; empty: none
  k: Int; // of each query's candidates, the best by ITC that ITM orders again
  itc: DataView; // float32 (picture, sentence)
  truth: DataView; // uint8 (picture, sentence)
  itm: DataView | null; // float32 (picture, sentence), NaN where not asked
  scores: boolean; // Python has a `score`, which answers queries of one's own
  planes: Record<"together" | "apart", Plane>;
}

export interface OwnAnswer {
  itc: DataView; // float32 (candidate)
  itm: DataView | null; // float32 (candidate), NaN where not asked
  text?: string; // the sentence that it is of
  split?: [string, string[]][]; // words of it that are several pieces
  never_seen?: string[] | null; // null: not known
  picture?: DataView | null; // uint8 (side, side, 3), the picture that it is of
}

// ---- grounding pad

export interface Candidate {
  box: number[] | null;
  share: number | null; // of the masked pictures
  presence: number | null;
}

export interface GroundedPhrase {
  box: number[] | null;
  iou: number | null;
  presence: number | null; // ITM's probability of the phrase and the box
  candidates: Candidate[];
  split: [string, string[]][]; // words that are several pieces
  never_seen: string[] | null; // null: not known
  begins: string[]; // the commonest first words of training phrases, where this one has none of them
  pieces: string[];
  shape: Int[]; // layers, heads, pieces, image tokens, grid; empty without attention
  weights?: DataView;
  most?: DataView;
}

export interface GroundedPicture {
  image: DataView;
  crisp?: DataView; // a file of the same picture at a screen's resolution; empty: none
  height: Int;
  width: Int;
  boxes: Record<string, number[]>; // phrase: x, y, width, height in pixels
  found: Record<string, GroundedPhrase>;
  own: boolean; // the reader's, of which training had none
  unlike?: boolean; // drawn in a style that training had not
}

export interface GroundingPadPayload {
  pictures: GroundedPicture[];
  takes: boolean; // pictures of the reader's own
}

/** Empty before there is one */
export interface NewestFinding {
  scene?: Int;
  phrase?: string;
  answer?: GroundedPhrase;
  count?: Int; // of all findings of that picture
}

// ---- task explorer

export interface TaskSaid {
  answer: string;
  box: number[] | null; // cx, cy, width, height as shares of the picture, where the answer is one
  confidence: number | null;
  right: boolean;
}

export interface TaskItem {
  index: Int; // in the test set
  texts: string[];
  pictures: Int[]; // places among the payload's
  truth: string;
  box: number[] | null;
  said: TaskSaid[]; // by model
  disagree: boolean;
}

export interface TaskMetric {
  metric: string;
  value: number;
  low: number;
  high: number;
  baseline: number | null;
  baseline_name: string;
  unit: string;
}

export interface ConfidenceBin {
  low: number;
  high: number;
  n: Int;
  right: number | null; // the share; null: of no answer
}

export interface TaskModel {
  name: string;
  metrics: TaskMetric[];
  right: Int; // of all test items
  bins: ConfidenceBin[]; // empty: no answer has a confidence
}

export interface TaskExplorerPayload {
  title: string;
  counts: Record<"all" | "right" | "wrong" | "disagree", Int>; // of all test items
  items: TaskItem[]; // those that are shown
  pictures: DataView[]; // PNG or JPEG
  crisp: DataView[]; // files of the same pictures at a screen's resolution; empty: none
  models: TaskModel[];
  opens: boolean; // Python traces and attributes
  asks: boolean; // Python answers a text of the reader's own
}

export interface OwnSaid {
  answer: string;
  box: number[] | null;
  confidence: number | null;
}

/** Empty before anything was asked */
export interface TaskAnswer {
  item?: Int;
  which?: Int;
  text?: string;
  answers?: OwnSaid[];
}

/** Empty before one was opened */
export interface OpenedView {
  kind?: "trace" | "attribute";
  item?: Int;
  which?: Int;
  page?: string; // HTML, for a frame of its own
}

// ---- the model in the page

export interface PackedTensor {
  shape: Int[];
  at: Int; // the byte where its numbers begin: float32, or with `scales` int8
  scales?: Int; // the byte where its rows' scales begin, float32
}

export interface PageTokenizer {
  vocabulary: string; // a line each, by id
  merges: string; // a line each, "a b", the first learnt first
  special: [string, boolean][]; // found in any text; whether the white space before it is its own
  lower: boolean;
  space: boolean; // a text begins with a space
}

export interface PageConfig {
  side: Int; // pixels
  patch: Int; // pixels a side
  vision_depth: Int;
  vision_heads: Int;
  text_depth: Int;
  text_heads: Int;
  text_epsilon: number; // of the norms of the language encoder
  fusion_depth: Int;
  longest: Int; // ids of a text
  heads: string[]; // losses whose heads it has
}

export interface MaskConfigPayload {
  patches: Int; // of a picture, hidden at random
  smallest: Int; // patches of a block
  share: number; // of a text's pieces ...
  most: Int;
  spans: number; // ... that share of which grow
}

/** What Python's draws begin with, 32 bits each. */
export interface PageSeeds {
  shapley: Int;
  candidates: Int;
  ties: Int; // of numbers, in curves
  infidelity: Int;
  smoothgrad: Int;
  "gradient shap": Int;
}

export interface SeenWordsPayload {
  words: string[];
  held_out: string[];
  first: string[]; // words of training phrases, the commonest first
}

export interface PageModelPayload {
  config: PageConfig;
  tensors: Record<string, PackedTensor>; // by the parameter's name
  weights: DataView;
  tokenizer: PageTokenizer;
  seeds: PageSeeds;
}

// ---- every view

export interface Tools {
  view: string; // the class's name, which a state names
  choices: string[]; // what the reader chooses: reset, undone, copied
  terms: [string, string][]; // that the view uses, and what they mean
  figure: string; // the class of the figure behind the view
}

/** What a choice can be, for pages without Python; see choices.py. */
export interface Limit {
  kind: "flag" | "text" | "option" | "share" | "place" | "places" | "names" | "texts";
  of?: string[];
  count?: Int;
  least?: Int;
  most?: number;
}

// ---- the traits of every view

export interface AblationExplorerTraits {
  band: "interval" | "range";
  credit: string;
  curve: string;
  message: string;
  metric: string;
  payload: AblationExplorerPayload;
  rows: "primary" | "all" | "metric";
  search: string;
  step: Int;
  tools: Tools;
  variant: string;
}

export interface AttributionLabTraits {
  as_seen: boolean;
  credit: string;
  message: string;
  methods: string[];
  opacity: number;
  patch: Int;
  payload: AttributionLabPayload;
  removed_objects: string[];
  removed_patches: Int[];
  removed_words: Int[];
  scores: RemovalScores;
  shared_scale: boolean;
  singles: SingleRemovals;
  targets: string[];
  token: Int;
  tools: Tools;
  typed: string;
}

export interface GradientFlowTraits {
  cosines: boolean;
  credit: string;
  itc_share: number;
  message: string;
  mim_target: "self" | "frozen" | "pixels" | "teacher" | "ema" | "data2vec" | "ibot";
  objectives: string[];
  payload: GradientFlowPayload;
  share: number;
  step: Int;
  tools: Tools;
}

export interface GroundingPadTraits {
  as_seen: boolean;
  candidates: boolean;
  credit: string;
  head: Int;
  layer: Int;
  message: string;
  newest: NewestFinding;
  opacity: number;
  patch: Int;
  payload: GroundingPadPayload;
  phrase: string;
  removed: string[];
  scene: Int;
  token: Int;
  tools: Tools;
  typed: string[];
}

export interface MaskPlaygroundTraits {
  as_seen: boolean;
  answer: MaskAnswer;
  credit: string;
  hidden_patches: Int[];
  hidden_pieces: Int[];
  message: string;
  opacity: number;
  patch: Int;
  payload: MaskPlaygroundPayload;
  pixels: DataView;
  token: Int;
  tools: Tools;
  typed: string;
}

export interface RetrievalExplorerTraits {
  as_seen: boolean;
  apart: boolean;
  credit: string;
  direction: "text to image" | "image to text";
  message: string;
  order: "ITC" | "ITM re-ranked";
  own: boolean;
  own_scores: Record<string, OwnAnswer>;
  payload: RetrievalExplorerPayload;
  query: Int;
  selected: Int[];
  tools: Tools;
  typed: string;
}

export interface TaskExplorerTraits {
  as_seen: boolean;
  answered: TaskAnswer;
  credit: string;
  item: Int;
  message: string;
  opened: OpenedView;
  payload: TaskExplorerPayload;
  search: string;
  show: "all" | "right" | "wrong" | "disagree";
  tools: Tools;
  which: Int;
}

export interface TraceExplorerTraits {
  as_seen: boolean;
  a: string;
  b: string;
  credit: string;
  detail: "matrix" | "lines";
  head: Int;
  heads: "head" | "mean" | "max" | "rollout";
  layer: Int;
  map: "language" | "vision" | "fusion" | "cross";
  message: string;
  opacity: number;
  patch: Int;
  payload: TraceExplorerPayload;
  pooled: boolean;
  sent: SentTrace;
  shown: "A" | "B" | "A−B";
  sort: "layer" | "entropy" | "mass";
  token: Int;
  tools: Tools;
  typed: string;
}

export interface TrainingMonitorTraits {
  credit: string;
  cursor: Int;
  done: boolean;
  group: "losses" | "accuracies" | "parts of losses" | "gradient norms" | "gradient cosines" | "encoders" | "speed";
  hidden: Int[];
  logarithmic: boolean;
  message: string;
  news: MonitorNews;
  paused: boolean;
  payload: TrainingMonitorPayload;
  running: boolean;
  smooth: number;
  standing: boolean;
  step: Int;
  tools: Tools;
}
