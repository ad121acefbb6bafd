/**
 * Scrub place: how far the scrub of an image has come, in a file beside it.
 *
 * It is a convenience: without it a scrub begins anew, and nothing but time is lost. So it is not
 * flushed, and whatever cannot be understood in it counts as none.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { BLOCK_SIZE } from '../base/index.ts';

const WRITE_MS = 1000;

export class ScrubPlace {
  readonly #path: string;
  readonly #uuid: string;
  #written = -WRITE_MS;

  constructor(image: string, uuid: string) {
    this.#path = `${image}.scrub`;
    this.#uuid = uuid;
  }

  /** Byte address to go on from; 0 if no scrub of this volume was interrupted. */
  read(): number {
    try {
      const { uuid, position } = JSON.parse(readFileSync(this.#path, 'utf8'));
      const sane = Number.isSafeInteger(position) && position >= 0 && position % BLOCK_SIZE === 0;
      return uuid !== '' && uuid === this.#uuid && sane ? position : 0;
    } catch {
      return 0;
    }
  }

  /** Remembers a place, now and then. */
  write(position: number): void {
    if (performance.now() - this.#written < WRITE_MS || position === 0) return;
    this.#written = performance.now();
    writeFileSync(this.#path, `${JSON.stringify({ uuid: this.#uuid, position })}\n`);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}
