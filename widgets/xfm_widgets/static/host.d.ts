// What the host of a view gives it: anywidget's model in a notebook, the one of offline.js in a page of its own.

import type { Limit } from "./payloads.d.ts";

export interface Model<Traits> {
  readonly offline?: boolean; // there is no Python to answer
  readonly isDone?: () => boolean; // Python has answered meanwhile what this is asked of
  readonly limits?: Record<string, Limit>; // of the choices, where Python does not check them
  readonly page?: (state: string) => string; // the page itself as HTML, opened at a state
  readonly link?: (state: string) => string; // an address that opens the page at a state
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, listener: (content?: any, buffers?: DataView[]) => void): void;
  off(event: string, listener: (content?: any, buffers?: DataView[]) => void): void;
}

export interface Host<Traits> {
  model: Model<Traits>;
  el: HTMLElement;
}

export interface View<Traits> {
  render(host: Host<Traits>): () => void; // returns what undoes it
}
