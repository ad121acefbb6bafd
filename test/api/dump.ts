/**
 * Dump: everything a volume shows by its API, in the lines of a model's dump.
 */
import type { PromisesFs, Volume } from '../../src/api/index.ts';
import { ContentDigest, dumpLine, handlesOf } from '../../src/testing/index.ts';
import { kindOf, numbersOf, p } from './steps.ts';

export type Face = 'sync' | 'promises';

/** Files up to here are read as a whole; of longer ones only what is no hole. */
const WHOLE_MAX = 1 << 20;

const binary = { encoding: 'buffer' } as const;
const latin1 = (name: string | Uint8Array): string =>
  Buffer.from(name as string).toString('latin1');

/** The live tree and all snapshots; by the synchronous face nothing in here waits. */
export async function dump(volume: Volume, face: Face): Promise<string[]> {
  const dumper = new Dumper(volume, face);
  await dumper.tree(face === 'sync' ? handlesOf(volume.fs) : volume.fs.promises, '', '');
  const found = face === 'sync' ? volume.snapshotsSync() : await volume.snapshots();
  for (const { name } of found.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    using view = face === 'sync' ? volume.openSnapshotSync(name) : await volume.openSnapshot(name);
    dumper.snapshot = name;
    await dumper.tree(face === 'sync' ? handlesOf(view.fs) : view.promises, '', `@${name}:`);
  }
  return dumper.lines;
}

class Dumper {
  readonly lines: string[] = [];
  snapshot: string | undefined;
  readonly #volume: Volume;
  readonly #face: Face;
  /** Where each inode was seen first. */
  readonly #first = new Map<string, string>();

  constructor(volume: Volume, face: Face) {
    this.#volume = volume;
    this.#face = face;
  }

  async tree(fs: PromisesFs, path: string, shown: string): Promise<void> {
    const stat = await fs.lstat(p(path === '' ? '/' : path));
    const identity = `${stat.dev} ${stat.ino}`;
    const known = this.#first.get(identity);
    if (known !== undefined) {
      this.lines.push(`${shown} = ${known}`);
      return;
    }
    this.#first.set(identity, shown);
    const kind = kindOf(stat);
    let content = '';
    if (kind === 'symlink') content = `-> ${latin1(await fs.readlink(p(path), binary))}`;
    if (kind === 'file') content = await this.#content(fs, path, stat.size);
    this.lines.push(dumpLine(shown, { ...numbersOf(stat), kind }, content));
    if (kind !== 'directory') return;
    const names = (await fs.readdir(p(path === '' ? '/' : path), binary)).map(latin1).sort();
    for (const name of names) await this.tree(fs, `${path}/${name}`, `${shown}/${name}`);
  }

  async #content(fs: PromisesFs, path: string, size: number): Promise<string> {
    const digest = new ContentDigest();
    if (size <= WHOLE_MAX) {
      digest.add(0, (await fs.readFile(p(path))) as Uint8Array);
      return digest.result;
    }
    const { snapshot } = this;
    const place = snapshot === undefined ? p(path) : { snapshot, path: p(path) };
    const extents =
      this.#face === 'sync' ? this.#volume.extentsSync(place) : await this.#volume.extents(place);
    const handle = await fs.open(p(path), 'r');
    for (const { offset, length } of extents) {
      const bytes = new Uint8Array(Math.min(length, size - offset));
      await handle.read(bytes, 0, bytes.length, offset);
      digest.add(offset, bytes);
    }
    await handle.close();
    return digest.result;
  }
}
