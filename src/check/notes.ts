/** Notes: what a repair does, in words, each once, in the order in which it came up. */
export class Notes {
  readonly #lines = new Map<string, number>();

  /** `line` was done once more. */
  add(line: string): void {
    this.#lines.set(line, (this.#lines.get(line) ?? 0) + 1);
  }

  clear(): void {
    this.#lines.clear();
  }

  lines(): string[] {
    return [...this.#lines].map(([line, times]) =>
      times === 1 ? line : `${line} (${times} times)`,
    );
  }
}
