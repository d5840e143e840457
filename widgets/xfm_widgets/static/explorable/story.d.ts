// What site.py gives the explorable, and what a screen is.

import type { FlowLoss } from "../payloads.d.ts";
import type { PageModel } from "../page_model/page_xfm.js";
import type { InnerNumbers } from "./inner_numbers.js";

export type Arm = "xfm" | "no stop";
export type Series = [step: number, value: number][];
export type Box = number[]; // centre x and y, width, height as shares of the picture's side
export interface GradientRecord {
  step: number;
  norm: Record<string, Record<"language" | "vision" | "fusion", number | null>>;
}
export interface Effect {
  study: string;
  arm: string;
  metric: string;
  n: number;
  mean: number;
  mean_against: number;
  baseline: number;
  baseline_name: string;
  step_0: number | null;
  effect: number; // arm − X-FM
  low: number;
  high: number;
  p_holm: number | null; // over its study's comparisons
  p_family: number | null; // over those of all studies of the same seeds
  margin: number | null;
  p_equivalent: number | null;
  verdict: string;
  better: string;
  unit: string;
  seeds: [seed: number, value: number, against: number][];
}
export interface Measured {
  value: number;
  low: number;
  high: number;
  baseline: number | null;
  baseline_name: string;
  n: number;
  unit: string;
}
export type Estimate = [value: number, low: number, high: number]; // with its 95 % interval
/** Two runs of one seed: what their weights of each step answer on the validation split */
export interface Watched {
  seed: number;
  steps: number[]; // measured, of:
  of: number;
  joins: number; // the step from which the fusion losses train
  guided: number; // that from which MIM does
  arms: Record<Arm, { language: Estimate[]; boxes: Estimate[]; records: GradientRecord[] }>;
  guidance: Record<"prediction" | "mean", number[][]>; // by step and patch: cosine with the output of the whole picture
}
/** explorable.json, which scripts/make_explorable.py writes */
export interface Numbers {
  pair: { index: number; concepts: number[]; caption: string; unigram: number[]; constant_box: Box };
  records: GradientRecord[]; // of X-FM at the studies' first seed
  watched: Watched;
  effects: Effect[];
  guidance: Record<"agreement" | "agreement_of_mean", Series>;
  ngram: number;
  checkpoint: Record<string, Measured>;
}
export interface Shown {
  picture: string; // data: URI, rendered from the drawings
  image: DataView; // (side, side, 3) as the model sees it
}
export interface StoryScene extends Shown {
  caption: string;
  credit: string;
  foil: string; // a name that the picture does not have
  names: string[]; // of the objects, as are:
  phrases: string[];
  boxes: Box[];
  without: Record<string, Shown>; // by the name of the object that is removed
  watched: string; // data: URI, the picture that the watched runs were asked about
  mask: number[]; // patches that MIM hides
  grid: number; // patches a side
  heads: number; // of each attention
  depths: Record<"vision" | "language" | "fusion", number>; // blocks
  other: Shown & { caption: string }; // of the gallery, the one that ITC takes for this caption most readily
  gallery: { texts: string[]; text: DataView; image: DataView; temperature: number };
}
export interface Story {
  numbers: Numbers;
  scene: StoryScene;
  objectives: FlowLoss[];
}

export type State = Record<string, string>;
export interface Stage {
  story: Story;
  picture: HTMLElement;
  controls: HTMLElement;
  model(): PageModel | null; // null while it comes
  inside(): InnerNumbers | null;
  set(changes: State): void; // what the address then says; "" leaves a name out
  go(screen: string, state?: State): void;
}
export interface Screen {
  id: string;
  title: string; // a question
  make(stage: Stage): (state: State) => string; // draws a state, and says what is seen
}
