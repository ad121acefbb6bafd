/**
 * A process that works on a real image is killed at a random moment; whoever opens the image next
 * finds what had been acknowledged.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { checkSync } from '../../src/check/index.ts';
import { FileDevice, Volume } from '../../src/index.ts';
import { type ModelNode, ModelVolume, type Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { draw } from '../api/draw.ts';
import { ModelRunner, type Step } from '../api/steps.ts';
import { seeded } from '../volume/seeds.ts';
import { namesOf } from './shown.ts';
import { type Ack, States } from './states.ts';

const START = 1_000_000_000_000;
const CALLS = [
  'appendFile',
  'chmod',
  'clone',
  'copyFile',
  'link',
  'mkdir',
  'rename',
  'rm',
  'rmdir',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'writeFile',
  'writeFile',
  'writeFile',
] as const;
const STEPS = 400;

const folder = mkdtempSync(join(tmpdir(), 'ramet-kill-'));
let rounds = 0;
let acknowledged = 0;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  process.stdout.write(`${rounds} processes killed, ${acknowledged} acknowledgements\n`);
});

/** What the child is told: a call, or a file to be made durable. */
interface Order {
  readonly call?: Step['call'];
  readonly args?: Step['args'];
  readonly save?: string;
}

interface Script {
  readonly orders: Order[];
  readonly states: States;
  /** After each order: the last state, and what it has made durable. */
  readonly acks: Ack[];
}

function makeScript(random: Random): Script {
  let now = START;
  const model = new ModelRunner(new ModelVolume(() => now));
  const states = new States();
  states.capture(model.model);
  model.model.onChange = () => states.capture(model.model);
  const orders: Order[] = [];
  const acks: Ack[] = [];
  for (let i = 0; i < STEPS; i++) {
    now += 1000;
    const files = filesOf(model.model);
    let file: ModelNode | undefined;
    if (random.chance(0.3) && files.length > 0) {
      const [path, node] = random.pick(files);
      file = node;
      orders.push({ save: path });
    } else {
      const call = random.chance(0.03) ? 'sync' : random.pick(CALLS);
      const { args } = draw(call, random.fork(), model);
      model.run({ call, args });
      orders.push({ call, args });
    }
    acks.push({ state: states.last, file });
  }
  return { orders, states, acks };
}

function filesOf({ root }: ModelVolume): [string, ModelNode][] {
  const found: [string, ModelNode][] = [];
  const visit = (node: ModelNode, path: string): void => {
    if (node.kind === 'file') found.push([path, node]);
    for (const [name, child] of node.entries) visit(child, `${path}/${name}`);
  };
  visit(root, '');
  return found;
}

/** Lets a child work for a while and kills it. Returns the orders it has acknowledged. */
async function workAndKill(image: string, orders: Order[], ms: number): Promise<number[]> {
  const script = new URL('./kill-child.mjs', import.meta.url).pathname;
  const told = `${image}.json`;
  writeFileSync(told, JSON.stringify(orders));
  const child = spawn(process.execPath, [script, image, told, String(START)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), ms));
  child.stdout.on('data', (data) => {
    said += data;
    if (said.endsWith('end\n')) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return said
    .split('\n')
    .filter((line) => /^\d+$/u.test(line))
    .map(Number);
}

seeded(
  'a process that is killed loses nothing that it was told is durable',
  { count: 12 },
  async (random) => {
    const { orders, states, acks } = makeScript(random);
    const image = join(folder, `${rounds++}.img`);
    const told = await workAndKill(image, orders, random.below(random.pick([3, 30, 120])));
    acknowledged += told.length;
    const promised: Ack[] = [{ state: 0, file: undefined }];
    for (const i of told) promised.push(acks[i] as Ack);
    const volume = Volume.openSync(image, COMMON);
    states.match(namesOf(volume), promised, states.last);
    volume.closeSync();
    const device = FileDevice.open(image, { readOnly: true });
    // Killed between the two copies of a superblock, one is missing until its place comes again.
    const { issues } = checkSync(device);
    expect(issues.filter(({ code }) => !code.startsWith('superblock-'))).toEqual([]);
    device.close();
    rmSync(image);
    rmSync(`${image}.json`);
  },
);
