// Made by widgets/payload_types.py of xfm_widgets/payloads.py and of the views' traits: change those.

export type Encoder = "language" | "vision" | "fusion";

export type LossKind = "text" | "image" | "contrast" | "fusion";

export type Side = "words" | "patches";

export type Scores = Record<string, number | null>;

export type Cosines = Record<string, Scores>;

export type Trusted = [string, number | null, ([string, number | null])[], boolean];

export interface FlowLoss {
  name: string;
  title: string;
  kind: LossKind;
  encoders: Encoder[];
}

export interface EncoderNorms {
  language: number | null;
  vision: number | null;
  fusion: number | null;
}

export interface FlowRecord {
  step: number;
  norm: Record<string, EncoderNorms>;
  cosine: Cosines;
}

export interface GradientFlowPayload {
  records: Record<string, FlowRecord[]>;
  objectives: FlowLoss[];
  measures: boolean;
}

export interface CodedWeights {
  codes: DataView;
  scale: DataView;
}

export interface PackedMap {
  codes: DataView;
  scale: DataView;
  size: number[];
  queries: Side;
  keys: Side;
  entropy: DataView;
  mass: DataView;
  counted: string;
  rollout?: CodedWeights;
}

export interface TraceBox {
  box: number[];
  pieces: number[];
}

export interface PackedTrace {
  maps: Record<string, PackedMap>;
  pieces: string[];
  owner: number[];
  grid: number;
  side: number;
  image: DataView;
  boxes: TraceBox[];
}

export interface TraceExplorerPayload {
  labels: string[];
  traces: Record<string, PackedTrace>;
  takes: boolean;
}

export interface SentTrace {
  label?: string;
  trace?: PackedTrace;
}

export interface MonitorLevel {
  value: number;
  name: string;
  kind: "chance" | "constant";
}

export interface MonitorRun {
  label: string;
  state: string;
  of: number;
  joins: Record<string, number>;
  levels: Record<string, MonitorLevel>;
  curriculum: number[];
  every: number;
  curves: Record<string, DataView>;
}

export interface MonitorPanel {
  key: string;
  group: string;
  title: string;
  unit: string;
  dense: boolean;
}

export interface SamplePicture {
  step: number;
  png: DataView;
}

export interface TrainingMonitorPayload {
  version: number;
  runs: MonitorRun[];
  pictures: SamplePicture[];
  groups: string[];
  live: boolean;
  panels: MonitorPanel[];
}

export interface MonitorNews {
  version?: number;
  runs?: Record<string, DataView>[];
  pictures?: SamplePicture[];
}

export interface DrawnAttribution {
  method: string;
  target: string;
  signed: boolean;
  unit: string;
  gap: number | null;
  verdict: string;
  trust: Trusted[];
  patches: DataView;
  words: DataView;
}

export interface LabObject {
  name: string;
  mask: DataView;
  patches: number[];
}

export interface RemovedParts {
  words: number[];
  objects: string[];
  patches: number[];
}

export interface AttributionLabPayload {
  image: DataView;
  side: number;
  grid: number;
  words: string[];
  owner: number[];
  methods: string[];
  targets: string[];
  most: number;
  units: Record<string, string>;
  can: boolean;
  takes: boolean;
  more: string[];
  found: DrawnAttribution[];
  objects: LabObject[];
}

export interface RemovalScores {
  of?: RemovedParts;
  before?: Scores;
  after?: Scores;
}

export interface PageTruth {
  pixels: number[];
  size: number;
  names: number[];
  baselines: Cosines;
}

export interface PageTarget {
  name: string;
  places: number[];
  ids: number[];
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

export interface StudyMetric {
  metric: string;
  role: string;
  family: string;
  unit: string;
  better: string;
  baseline: number | null;
  baseline_name: string;
  step_0: number | null;
  floor: boolean;
}

export interface StudyEffect {
  variant: string;
  metric: string;
  against: string;
  note: string;
  verdict: string;
  judged_by: "Holm" | "gatekeeping" | "interval";
  correction: "Holm" | "gatekeeping" | "";
  equivalent: "yes" | "not shown" | "";
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
  n: number;
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
  order: string[];
  effects: StudyEffect[];
  pairs: DataView;
  texts: Record<string, TableText>;
  curves: Record<string, Record<string, StudyBand>>;
}

export interface GuessedPiece {
  guesses: ([string, number | null])[];
  truth: number | null;
}

export interface MaskedPiece {
  place: number;
  piece: string;
  with: GuessedPiece | null;
  without: GuessedPiece | null;
}

export interface HiddenParts {
  patches: number[];
  pieces: number[];
}

export interface MaskPlaygroundPayload {
  image: DataView;
  side: number;
  grid: number;
  pieces: string[];
  owner: number[];
  can: boolean;
  takes: boolean;
}

export interface MaskAnswer {
  of?: HiddenParts;
  words?: MaskedPiece[];
  agreement?: DataView | null;
  target?: string | null;
}

export interface Plane {
  places: DataView;
  shares: number[];
}

export interface RetrievalExplorerPayload {
  texts: string[];
  side: number;
  sprite: DataView;
  k: number;
  itc: DataView;
  truth: DataView;
  itm: DataView | null;
  asks: boolean;
  asked: Record<string, DataView>;
  scores: boolean;
  planes: Record<"together" | "apart", Plane>;
}

export interface Selection {
  pictures?: number[];
  sentences?: number[];
}

export interface AskedRow {
  query?: string;
  row?: DataView;
  count?: number;
}

export interface OwnAnswer {
  itc: DataView;
  itm: DataView | null;
  text?: string;
  split?: [string, string[]][];
  never_seen?: string[] | null;
  picture?: DataView | null;
}

export interface Candidate {
  box: number[] | null;
  share: number | null;
  presence: number | null;
}

export interface GroundedPhrase {
  box: number[] | null;
  iou: number | null;
  presence: number | null;
  candidates: Candidate[];
  split: [string, string[]][];
  never_seen: string[] | null;
  pieces: string[];
  shape: number[];
  weights?: DataView;
  most?: DataView;
}

export interface GroundedPicture {
  image: DataView;
  height: number;
  width: number;
  boxes: Record<string, number[]>;
  found: Record<string, GroundedPhrase>;
}

export interface GroundingPadPayload {
  pictures: GroundedPicture[];
  takes: boolean;
}

export interface NewestFinding {
  scene?: number;
  phrase?: string;
  answer?: GroundedPhrase;
  count?: number;
}

export interface TaskSaid {
  answer: string;
  box: number[] | null;
  confidence: number | null;
  right: boolean;
}

export interface TaskItem {
  index: number;
  texts: string[];
  pictures: number[];
  truth: string;
  box: number[] | null;
  said: TaskSaid[];
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
  n: number;
  right: number | null;
}

export interface TaskModel {
  name: string;
  metrics: TaskMetric[];
  right: number;
  bins: ConfidenceBin[];
}

export interface TaskExplorerPayload {
  title: string;
  counts: Record<"all" | "right" | "wrong" | "disagree", number>;
  items: TaskItem[];
  pictures: DataView[];
  models: TaskModel[];
  opens: boolean;
  asks: boolean;
}

export interface OwnSaid {
  answer: string;
  box: number[] | null;
  confidence: number | null;
}

export interface TaskAnswer {
  item?: number;
  which?: number;
  text?: string;
  answers?: OwnSaid[];
}

export interface OpenedView {
  kind?: "trace" | "attribute";
  item?: number;
  which?: number;
  page?: string;
}

export interface PackedTensor {
  shape: number[];
  at: number;
  scales?: number;
}

export interface PageTokenizer {
  vocabulary: string[];
  merges: string[];
  special: [string, boolean][];
  lower: boolean;
  space: boolean;
}

export interface PageConfig {
  side: number;
  patch: number;
  vision_depth: number;
  vision_heads: number;
  text_depth: number;
  text_heads: number;
  text_epsilon: number;
  fusion_depth: number;
  longest: number;
  heads: string[];
}

export interface MaskConfigPayload {
  patches: number;
  smallest: number;
  share: number;
  most: number;
  spans: number;
}

export interface PageSeeds {
  shapley: number;
  candidates: number;
  ties: number;
  infidelity: number;
}

export interface SeenWordsPayload {
  words: string[];
  held_out: string[];
}

export interface PageModelPayload {
  config: PageConfig;
  tensors: Record<string, PackedTensor>;
  weights: DataView;
  tokenizer: PageTokenizer;
  seeds: PageSeeds;
}

export interface Tools {
  view: string;
  choices: string[];
  terms: [string, string][];
  figure: string;
}

export interface Limit {
  kind: "flag" | "text" | "option" | "share" | "place" | "places" | "names" | "texts" | "selected";
  of?: string[];
  count?: number;
  least?: number;
  most?: number;
}

export interface AblationExplorerTraits {
  band: "interval" | "range";
  credit: string;
  curve: string;
  message: string;
  metric: string;
  payload: AblationExplorerPayload;
  rows: "primary" | "all" | "metric";
  search: string;
  step: number;
  tools: Tools;
  variant: string;
}

export interface AttributionLabTraits {
  credit: string;
  message: string;
  methods: string[];
  opacity: number;
  patch: number;
  payload: AttributionLabPayload;
  removed_objects: string[];
  removed_patches: number[];
  removed_words: number[];
  scores: RemovalScores;
  shared_scale: boolean;
  singles: SingleRemovals;
  targets: string[];
  token: number;
  tools: Tools;
}

export interface GradientFlowTraits {
  cosines: boolean;
  credit: string;
  itc_share: number;
  measured: Record<string, Cosines>;
  message: string;
  mim_target: "self" | "frozen" | "pixels" | "teacher" | "ema" | "data2vec" | "ibot";
  objectives: string[];
  payload: GradientFlowPayload;
  share: number;
  step: number;
  tools: Tools;
}

export interface GroundingPadTraits {
  candidates: boolean;
  credit: string;
  head: number;
  layer: number;
  message: string;
  newest: NewestFinding;
  opacity: number;
  patch: number;
  payload: GroundingPadPayload;
  phrase: string;
  removed: string[];
  scene: number;
  token: number;
  tools: Tools;
  typed: string[];
}

export interface MaskPlaygroundTraits {
  answer: MaskAnswer;
  credit: string;
  hidden_patches: number[];
  hidden_pieces: number[];
  message: string;
  opacity: number;
  patch: number;
  payload: MaskPlaygroundPayload;
  pixels: DataView;
  token: number;
  tools: Tools;
}

export interface RetrievalExplorerTraits {
  apart: boolean;
  credit: string;
  direction: "text to image" | "image to text";
  message: string;
  newest: AskedRow;
  order: "ITC" | "ITM re-ranked";
  own: boolean;
  own_scores: Record<string, OwnAnswer>;
  payload: RetrievalExplorerPayload;
  query: number;
  selected: Selection;
  tools: Tools;
  typed: string;
}

export interface TaskExplorerTraits {
  answered: TaskAnswer;
  credit: string;
  item: number;
  message: string;
  opened: OpenedView;
  payload: TaskExplorerPayload;
  search: string;
  show: "all" | "right" | "wrong" | "disagree";
  tools: Tools;
  which: number;
}

export interface TraceExplorerTraits {
  a: string;
  b: string;
  credit: string;
  detail: "matrix" | "lines";
  head: number;
  heads: "head" | "mean" | "max" | "rollout";
  layer: number;
  map: "language" | "vision" | "fusion" | "cross";
  message: string;
  opacity: number;
  patch: number;
  payload: TraceExplorerPayload;
  pooled: boolean;
  sent: SentTrace;
  shown: "A" | "B" | "A−B";
  sort: "layer" | "entropy" | "mass";
  token: number;
  tools: Tools;
  typed: string;
}

export interface TrainingMonitorTraits {
  credit: string;
  cursor: number;
  done: boolean;
  group: "losses" | "accuracies" | "parts of losses" | "gradient norms" | "gradient cosines" | "encoders" | "speed";
  hidden: number[];
  logarithmic: boolean;
  message: string;
  news: MonitorNews;
  paused: boolean;
  payload: TrainingMonitorPayload;
  picture: number;
  running: boolean;
  smooth: number;
  standing: boolean;
  step: number;
  tools: Tools;
}
