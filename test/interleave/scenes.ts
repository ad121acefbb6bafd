/**
 * Scenes: a file and its clone, and what of them is where when the operations begin.
 */
import { Bench, plantImage } from './bench.ts';
import { B, type State } from './files.ts';
import { FILE_SIZE, inkOf } from './operations.ts';

export interface Scene {
  readonly title: string;
  readonly image: Uint8Array;
  /** Brings a volume on the image to where the scene begins. */
  readonly prepare: (bench: Bench) => Promise<void>;
  readonly before: State;
  /** What is on the device. */
  readonly durable: State;
}

const PREPARE = {
  /** Everything is on the device; the nodes are in memory, the data is not. */
  clean: async (bench: Bench): Promise<void> => {
    await bench.open('f', 'c');
    bench.cool('data');
  },
  /** Two blocks of the file and one of its clone are in memory only. */
  dirty: async (bench: Bench): Promise<void> => {
    await bench.open('f', 'c');
    await bench.handle('f').write(inkOf(2, 100), 0, 100, 3 * B - 50);
    await bench.handle('c').write(inkOf(3, 100), 0, 100, B + 10);
    bench.cool('data');
  },
  /** Nothing is in memory. */
  cold: async (bench: Bench): Promise<void> => {
    await bench.open('f', 'c');
    bench.cool('all');
  },
  /** The same, and both files may be overwritten in place. */
  inplace: async (bench: Bench): Promise<void> => {
    await bench.open('f', 'c');
    for (let i = 0; i < 3; i++) {
      for (const name of ['f', 'c'] as const) await rewrite(bench, name);
      bench.volume.syncSync();
    }
    bench.cool('data');
  },
} as const;

/** Who has not been written to is not known to be alone. */
async function rewrite(bench: Bench, name: 'f' | 'c'): Promise<void> {
  const bytes = new Uint8Array(B);
  await bench.handle(name).read(bytes, 0, B, 0);
  await bench.handle(name).write(bytes, 0, B, 0);
}

export type SceneTitle = keyof typeof PREPARE;

export async function makeScene(title: SceneTitle): Promise<Scene> {
  const image = await plantImage((volume) => {
    if (title === 'inplace') volume.setInplaceSync('/', true);
    volume.fs.writeFileSync('/f', inkOf(1, FILE_SIZE));
    volume.cloneSync('/f', '/c');
    // All of it has an owner each.
    if (title === 'inplace') volume.fs.writeFileSync('/c', inkOf(1, FILE_SIZE));
  });
  const prepare = PREPARE[title];
  const bench = new Bench(image);
  const durable = bench.state();
  await prepare(bench);
  return { title, image, prepare, before: bench.state(), durable };
}
