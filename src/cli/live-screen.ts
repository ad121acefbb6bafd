/**
 * Live screen: all of a terminal, drawn again and again, and given back as it was.
 *
 * It is the terminal's other screen, which has no history: what stood there before comes back when
 * it ends. That has to happen whatever ends the command, so it does as soon as somebody wants the
 * end, whatever is waited for still.
 */
import type { Screen } from './terminal.ts';

/** Of a screen that does not say how high it is. */
const DEFAULT_ROWS = 24;

/** The other screen; no cursor; what is too long is cut off by the terminal. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';

export class LiveScreen {
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  #entered = false;

  /** `signal`: somebody wants the end; nothing is drawn after that. */
  constructor(screen: Screen, signal: AbortSignal) {
    this.#screen = screen;
    this.#signal = signal;
    signal.addEventListener('abort', this.end, { once: true });
  }

  /** Lines that have no room are left out. */
  draw(text: string): void {
    if (this.#signal.aborted) return;
    const rows = this.#screen.rows || DEFAULT_ROWS;
    const lines = text.split('\n').slice(0, rows);
    const drawn = lines.map((line) => line + REST_OF_LINE).join('\r\n');
    const start = this.#entered ? HOME : ENTER + HOME;
    this.#entered = true;
    this.#screen.write(start + drawn + REST_OF_SCREEN);
  }

  /** Gives the terminal back. Idempotent. */
  readonly end = (): void => {
    this.#signal.removeEventListener('abort', this.end);
    if (this.#entered) this.#screen.write(LEAVE);
    this.#entered = false;
  };
}
