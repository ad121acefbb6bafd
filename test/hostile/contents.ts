/**
 * Contents: what files may hold, when some calls failed and it is not known how far they came.
 */
import { BLOCK_SIZE } from '../../src/base/index.ts';

/** The content of a file; undefined if there is none of its name. */
export type Content = Buffer | undefined;

export class Contents {
  /** What each name may have now, and what it has had since it was last made durable. */
  readonly #now = new Map<string, Content[]>();
  readonly #since = new Map<string, Content[]>();

  get names(): string[] {
    return [...this.#now.keys()];
  }

  of(name: string): readonly Content[] {
    return this.#now.get(name) ?? [undefined];
  }

  /** Nothing else is possible. */
  set(name: string, contents: readonly Content[]): void {
    const each = distinct(contents);
    this.#now.set(name, each);
    this.#since.set(name, distinct([...(this.#since.get(name) ?? [undefined]), ...each]));
  }

  /** These are possible too. */
  add(name: string, contents: readonly Content[]): void {
    this.set(name, [...this.of(name), ...contents]);
  }

  /** One name more for what another one has, whatever of that is durable. */
  copy(from: string, to: string): void {
    const since = this.#since.get(from) ?? [];
    this.set(
      to,
      this.of(from).filter((each) => each !== undefined),
    );
    this.#since.set(to, distinct([...(this.#since.get(to) ?? []), ...since]));
  }

  /** What is there now is durable. */
  settled(names: readonly string[] = this.names): void {
    for (const name of names) this.#since.set(name, [...this.of(name)]);
  }

  /** What was not durable may be lost: each may be again what it was. */
  lost(): void {
    for (const name of this.names) this.#now.set(name, this.#since.get(name) ?? [undefined]);
  }

  /**
   * Whether a name may have this content, of which each block is one that it has had. A file that
   * nobody has made durable may be of several moments after its log was replayed.
   */
  allows(name: string, found: Content): boolean {
    const among = this.of(name);
    if (found === undefined) return among.includes(undefined);
    const known = among.filter((each) => each !== undefined);
    if (known.some((each) => each.equals(found))) return true;
    if (!known.some((each) => each.length === found.length)) return false;
    for (let at = 0; at < found.length; at += BLOCK_SIZE) {
      const block = found.subarray(at, at + BLOCK_SIZE);
      if (!known.some((each) => sameBlock(each, at, block))) return false;
    }
    return true;
  }
}

/** What is missing at the end of a block is zeros. */
function sameBlock(content: Buffer, at: number, block: Buffer): boolean {
  const there = content.subarray(at, at + block.length);
  return (
    there.equals(block.subarray(0, there.length)) && block.subarray(there.length).every(isZero)
  );
}

function isZero(byte: number): boolean {
  return byte === 0;
}

function distinct(contents: readonly Content[]): Content[] {
  const seen = new Map(contents.map((each) => [each?.toString('latin1'), each]));
  return [...seen.values()];
}
