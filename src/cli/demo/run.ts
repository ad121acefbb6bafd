/**
 * Demo: a thousand writable copies of one tree, every one of them checked.
 *
 * The tree is copied aside first, so that nobody changes it meanwhile, and from there imported,
 * cloned, edited, read back cold and compared; the same tree is copied by `cp` for comparison.
 */

import * as host from 'node:fs';
import { join as joinPath } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { GIB } from '../../base/index.ts';
import { check, describeIssue } from '../../check/index.ts';
import { FileDevice } from '../../device/node.ts';
import type { OpenVolume } from '../../fuse/index.ts';
import { Random } from '../../testing/index.ts';
import { changeLine } from '../commands/diff.ts';
import { exactTime, TreeCopy } from '../copy-tree.ts';
import { Fault } from '../faults.ts';
import { withDevice, withVolume, withVolumeOn } from '../images.ts';
import { binaryOf } from '../names.ts';
import { counted, formatCount, formatSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';
import { measureCopy, measureReflink, runTool, settleHost } from './peers.ts';
import { type Edit, planEdits, type SourceFile, type Survey, surveyTree } from './plan.ts';
import type { Peer, Stage, Tell } from './stage.ts';
import { applyEdit, type Compared, Verifier } from './verify.ts';

export interface DemoOptions {
  /** Tree to clone. */
  readonly source: string;
  readonly clones: number;
  readonly seed: number;
  /** Measure how others copy the tree. */
  readonly compare: boolean;
  /** Directory for everything that the demo makes; it is there and empty. */
  readonly folder: string;
}

const SOURCE = '/source';
const CLONES = '/clones';
/** Clones that are read in full, and files that are read in each other one. */
const FULL_CLONES = 3;
const SAMPLE_FILES = 10;

export class Demo {
  readonly #options: DemoOptions;
  readonly #terminal: Terminal;
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #image: string;
  /** The copy that everything is compared with. */
  readonly #origin: string;
  readonly #compared: Compared = { files: 0, bytes: 0, diffs: 0 };
  #survey: Survey = { files: [], entries: 0, bytes: 0 };
  #edits: readonly Edit[] = [];
  #cloning = { ms: 0, bytes: 0 };

  constructor(options: DemoOptions, terminal: Terminal, stage: Stage) {
    this.#options = options;
    this.#terminal = terminal;
    this.#stage = stage;
    this.#random = new Random(options.seed);
    this.#image = joinPath(options.folder, 'demo.img');
    this.#origin = binaryOf(joinPath(options.folder, 'origin'));
  }

  /** @throws {Fault} if any byte is wrong */
  async run(): Promise<void> {
    await this.#prepare();
    await this.#build();
    await this.#readAll();
    const survivors = await this.#deleteHalf();
    await this.#readSurvivors(survivors);
    await this.#check();
    if (this.#options.compare) await this.#compare();
    await this.#stage.verdict(this.#compared);
  }

  async #prepare(): Promise<void> {
    const { source, clones, seed, folder } = this.#options;
    const { signal } = this.#terminal;
    await this.#stage.title(`${counted(clones, 'writable copy')} of ${source}`, `seed ${seed}`);
    await this.#stage.step('copy it aside, out of reach', async () => {
      await runTool('cp', ['-R', source, joinPath(folder, 'origin')], signal);
      await settleHost(folder, signal);
      this.#survey = await this.#terminal.work(surveyTree(this.#origin));
      const { entries, bytes } = this.#survey;
      return { note: `${counted(entries, 'entry')}, ${formatSize(bytes)}` };
    });
    const { files } = this.#survey;
    if (files.length === 0) throw new Fault(`Cannot demonstrate with ${source}: it has no files`);
    const names = Array.from({ length: clones }, (_, i) => clonePath(i + 1));
    this.#edits = planEdits(this.#origin, this.#survey, names, this.#random.fork());
  }

  /** The image, its clones and their edits. */
  async #build(): Promise<void> {
    const size = 64 * GIB;
    const device = FileDevice.open(this.#image, { create: true, size });
    try {
      await withVolumeOn(device, { create: true, umask: 0 }, async (volume) => {
        await this.#measured(volume, 'import it', (tell) => this.#import(volume, tell));
        const before = taken(volume);
        const ms = await this.#measured(volume, `clone it ${this.#times}`, (tell) =>
          this.#clone(volume, tell),
        );
        this.#cloning = { ms, bytes: taken(volume) - before };
        await this.#measured(volume, 'edit another file in each', (tell) =>
          this.#edit(volume, tell),
        );
        await this.#showDiff(volume);
      });
    } finally {
      device.close();
    }
  }

  get #times(): string {
    return `${formatCount(this.#options.clones)} times`;
  }

  async #import(volume: OpenVolume, tell: Tell): Promise<{ note: string }> {
    const copy = new TreeCopy({
      verb: 'import',
      source: { fs: host, root: this.#origin },
      target: { fs: volume.fs, root: SOURCE },
      owners: true,
      merge: false,
      exactModes: true,
      timeText: exactTime,
    });
    await this.#terminal.work(copy.steps(), () => tell(copy.done, this.#survey.entries));
    return { note: 'durable' };
  }

  async #clone(volume: OpenVolume, tell: Tell): Promise<{ count: number }> {
    volume.fs.mkdirSync(CLONES);
    await this.#each(this.#edits, tell, ({ clone }) => volume.cloneSync(SOURCE, clone));
    return { count: this.#edits.length };
  }

  async #edit(volume: OpenVolume, tell: Tell): Promise<{ count: number; note: string }> {
    await this.#each(this.#edits, tell, (edit) => applyEdit(volume.fs, edit));
    const bytes = this.#edits.reduce((sum, { data }) => sum + data.length, 0);
    return { count: this.#edits.length, note: `${formatSize(bytes)} written` };
  }

  /** Two clones side by side, as `ramet diff` shows them. */
  async #showDiff(volume: OpenVolume): Promise<void> {
    const [left, right] = this.#random.shuffle(this.#edits);
    if (left === undefined || right === undefined) return;
    await this.#stage.text(`\n  diff ${left.clone} ${right.clone}`);
    const changes = [...volume.diffSync(left.clone, right.clone)];
    changes.sort((a, b) => (a.path < b.path ? -1 : 1));
    for (const change of changes) {
      await this.#stage.text(`    ${changeLine(change, this.#terminal.paint)}`);
    }
    await this.#stage.text('');
  }

  /** Everything that can be wrong, from the image as it is on the disk. */
  async #readAll(): Promise<void> {
    const full = new Set(this.#random.shuffle(this.#edits).slice(0, FULL_CLONES));
    const others = this.#edits.filter((edit) => !full.has(edit));
    await withVolume(this.#image, {}, async (volume) => {
      const verifier = new Verifier(volume, this.#origin);
      await this.#stage.step(`read ${counted(full.size + 1, 'tree')} in full`, async (tell) => {
        await this.#terminal.work(verifier.tree(SOURCE, undefined));
        for (const edit of full) {
          await this.#terminal.work(verifier.tree(edit.clone, edit), () =>
            tell(verifier.compared.files, (full.size + 1) * this.#survey.files.length),
          );
        }
        return { note: comparedText(verifier.compared) };
      });
      await this.#readSamples(verifier, others, 'others');
      this.#add(verifier.compared);
    });
  }

  /** The edited file, some others, and the difference from the source, of each clone. */
  async #readSamples(verifier: Verifier, edits: readonly Edit[], which: string): Promise<void> {
    if (edits.length === 0) return;
    const random = this.#random.fork();
    const before = { ...verifier.compared };
    const number = formatCount(edits.length);
    const files = Math.min(SAMPLE_FILES, this.#survey.files.length) + 1;
    await this.#stage.step(`read ${files} files of ${number} ${which}`, async (tell) => {
      let done = 0;
      const show = (): void => tell(done, edits.length);
      for (const edit of edits) {
        const sample = sampleOf(this.#survey.files, random);
        const paths = [edit.file.path, ...sample.map(({ path }) => path)];
        await this.#terminal.work(verifier.files(edit.clone, paths, edit), show);
        done++;
      }
      return { count: edits.length, note: comparedText(verifier.compared, before) };
    });
    await this.#stage.step(`diff ${number} ${which} against it`, async (tell) => {
      await this.#each(edits, tell, (edit) => verifier.difference(SOURCE, edit));
      return { count: edits.length, note: 'only the edited file differs' };
    });
  }

  /** Answers the edits of the clones that are left. */
  async #deleteHalf(): Promise<readonly Edit[]> {
    const order = this.#random.shuffle(this.#edits);
    const doomed = order.slice(0, Math.floor(order.length / 2));
    await withVolume(this.#image, { write: true }, async (volume) => {
      const name = `delete ${formatCount(doomed.length)} in random order`;
      await this.#measured(volume, name, async (tell) => {
        await this.#each(doomed, tell, ({ clone }) => volume.fs.rmSync(clone, { recursive: true }));
        await volume.reclaim({ signal: this.#terminal.signal });
        return { count: doomed.length };
      });
    });
    return order.slice(doomed.length);
  }

  async #readSurvivors(survivors: readonly Edit[]): Promise<void> {
    await withVolume(this.#image, {}, async (volume) => {
      const verifier = new Verifier(volume, this.#origin);
      await this.#readSamples(verifier, survivors, 'left');
      this.#add(verifier.compared);
    });
  }

  async #check(): Promise<void> {
    await this.#stage.step('check the image', (tell) =>
      withDevice(this.#image, {}, async (device) => {
        const report = await check(device, {
          signal: this.#terminal.signal,
          progress: ({ done, total }) => tell(done, total),
          pause: () => setImmediate(),
        });
        const [issue] = report.issues;
        if (issue !== undefined) {
          throw new Fault(`Cannot confirm the image: ${describeIssue(issue)}`, { code: 'EIO' });
        }
        const { verified } = report.statistics;
        return { note: `${report.verdict}, ${formatSize(verified)} of checksums` };
      }),
    );
  }

  /** The same tree, copied by others. */
  async #compare(): Promise<void> {
    const { clones, folder } = this.#options;
    const { signal } = this.#terminal;
    const origin = joinPath(folder, 'origin');
    await this.#stage.title(
      'The same tree, copied',
      "ramet's times are until it is durable, the others' are not",
    );
    const { ms, bytes } = this.#cloning;
    const copied = await measureCopy(origin, joinPath(folder, 'copy'), signal);
    const reflinked = await measureReflink(origin, folder, this.#survey.bytes, signal);
    const peers: Peer[] = [
      { name: 'ramet clone', one: { ms: ms / clones, bytes: bytes / clones }, all: { ms, bytes } },
      { name: 'cp -R', one: copied },
      { name: 'cp -R --reflink=always, on XFS', one: reflinked },
    ];
    await this.#stage.compare(clones, peers);
  }

  /** A step whose changes are durable when it ends, with the space that they took. */
  async #measured<Result extends object>(
    volume: OpenVolume,
    name: string,
    body: (tell: Tell) => Promise<Result>,
  ): Promise<number> {
    const before = taken(volume);
    return await this.#stage.step(name, async (tell) => {
      const result = await body(tell);
      await volume.sync();
      return { ...result, taken: taken(volume) - before };
    });
  }

  async #each<Item>(items: readonly Item[], tell: Tell, body: (item: Item) => void): Promise<void> {
    let done = 0;
    function* steps(): Generator<void, void, void> {
      for (const item of items) {
        body(item);
        done++;
        yield;
      }
    }
    await this.#terminal.work(steps(), () => tell(done, items.length));
  }

  #add(compared: Compared): void {
    this.#compared.files += compared.files;
    this.#compared.bytes += compared.bytes;
    this.#compared.diffs += compared.diffs;
  }
}

function clonePath(number: number): string {
  return `${CLONES}/${String(number).padStart(4, '0')}`;
}

/** Bytes of the image that are in use. */
function taken(volume: OpenVolume): number {
  const { bsize, blocks, bfree } = volume.fs.statfsSync('/');
  return (blocks - bfree) * bsize;
}

function comparedText(
  { bytes, files }: Compared,
  before: Compared = { files: 0, bytes: 0, diffs: 0 },
): string {
  return `${formatSize(bytes - before.bytes)} in ${counted(files - before.files, 'file')} right`;
}

/** Some files, each once. */
function sampleOf(files: readonly SourceFile[], random: Random): SourceFile[] {
  const sample = new Set<SourceFile>();
  while (sample.size < Math.min(SAMPLE_FILES, files.length)) sample.add(random.pick(files));
  return [...sample];
}
