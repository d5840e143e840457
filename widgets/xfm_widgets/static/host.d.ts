// What the host of a view gives it: anywidget's model in a notebook, the one of offline.js in a page of its own.

export interface Model<Traits> {
  readonly offline?: boolean; // there is no Python to answer
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, listener: () => void): void;
  off(event: string, listener: () => void): void;
}

export interface Host<Traits> {
  model: Model<Traits>;
  el: HTMLElement;
}

export interface View<Traits> {
  render(host: Host<Traits>): () => void; // returns what undoes it
}
