/** Database: SQLite itself, compiled to WebAssembly, on a volume. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as SQLite from 'wa-sqlite';
import makeModule from 'wa-sqlite/dist/wa-sqlite.mjs';
import type { Volume } from '../../src/api/index.ts';
import { VolumeVfs } from './volume-vfs.ts';

const require = createRequire(import.meta.url);
const wasmBinary = readFileSync(require.resolve('wa-sqlite/dist/wa-sqlite.wasm'));
const sqlite = makeModule({ wasmBinary }).then((module) => SQLite.Factory(module));

let made = 0;

export class Database {
  readonly #sqlite: SQLiteAPI;
  readonly #handle: number;

  private constructor(api: SQLiteAPI, handle: number) {
    this.#sqlite = api;
    this.#handle = handle;
  }

  static async open(volume: Volume, name: string): Promise<Database> {
    const api = await sqlite;
    const vfs = new VolumeVfs(`volume-${made++}`, volume);
    api.vfs_register(vfs as never, false);
    const handle = await api.open_v2(name, undefined, vfs.name);
    return new Database(api, handle);
  }

  /** Runs statements; the rows of the last one. */
  async run(sql: string): Promise<unknown[][]> {
    const rows: unknown[][] = [];
    await this.#sqlite.exec(this.#handle, sql, (row: unknown[]) => {
      rows.push(row);
    });
    return rows;
  }

  async close(): Promise<void> {
    await this.#sqlite.close(this.#handle);
  }
}
