/** Notes: what a repair does, in words, each once, in the order in which it came up. */
export class Notes {
  readonly #lines = new Map<string, number>();

  /** `line` was done once more. */
  add(line: string): void {
    this.#lines.set(line, (this.#lines.get(line) ?? 0) + 1);
  }

  save(): ReadonlyMap<string, number> {
    return new Map(this.#lines);
  }

  /** Forgets what came after the notes were saved. */
  restore(saved: ReadonlyMap<string, number>): void {
    this.#lines.clear();
    for (const [line, times] of saved) this.#lines.set(line, times);
  }

  lines(): string[] {
    return [...this.#lines].map(([line, times]) =>
      times === 1 ? line : `${line} (${times} times)`,
    );
  }
}
