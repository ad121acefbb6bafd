/**
 * Shows the two mappings of a write that must copy. After a build:
 * `node --import ./examples/types.mjs examples/flat-memory/main.ts`.
 */
import { BLOCK_SIZE, fromUtf8, hex, utf8 } from 'ramet/base';
import { MemoryDevice } from 'ramet/device';
import { Driver } from 'ramet/drive';
import {
  BufferedRead,
  BufferedWrite,
  type Mapping,
  MappingFlag,
  type MappingOps,
  MappingType,
  Punch,
  RequestFlag,
  validated,
  Writeback,
} from 'ramet/iomap';
import { type FlatFile, FlatFilesystem } from './filesystem.ts';
import { Clone, Remove } from './operations.ts';

const BLOCKS = 64;

const device = new MemoryDevice({ size: BLOCKS * BLOCK_SIZE });
const fs = new FlatFilesystem({ blocks: BLOCKS, wrap: (ops) => traced(validated(ops)) });
const driver = new Driver(device, {
  concurrency: fs.pool.operationsMax,
  pause: () => new Promise((resolve) => setImmediate(resolve)),
});

const base = fs.create('base');
await write(base, 0, new Uint8Array(4 * BLOCK_SIZE).fill(0x2e));
const clone = await driver.start(new Clone(fs, 'base', 'clone'));
usage('cloned');

await write(clone, 3000, utf8('written into the clone '.repeat(200)));
await driver.start(new Writeback(fs.pool));
usage('written back');
console.log(`base:  ${await read(base, 2996, 20)}`);
console.log(`clone: ${await read(clone, 2996, 20)}`);

await driver.start(new Punch(base, 0, 2 * BLOCK_SIZE));
usage('punched');
await driver.start(new Remove(fs, 'base'));
usage('base removed');

async function write(file: FlatFile, position: number, data: Uint8Array): Promise<void> {
  await driver.start(new BufferedWrite().begin(file, position, data));
}

async function read(file: FlatFile, position: number, length: number): Promise<string> {
  const target = new Uint8Array(length);
  await driver.start(new BufferedRead().begin(file, position, length, target));
  return fromUtf8(target);
}

function usage(event: string): void {
  const used = fs.counts.filter((count) => count > 0).length;
  const shared = fs.counts.filter((count) => count > 1).length;
  console.log(`${event}: ${used} blocks are used, ${shared} of them shared`);
}

/** The same ops, and every answer to a write is printed. */
function traced(ops: MappingOps): MappingOps {
  const begin: MappingOps['begin'] = (file, request, answer, plan) => {
    if (!ops.begin(file, request, answer, plan)) return false;
    if (request.flag !== RequestFlag.WRITE) return true;
    console.log(`write of bytes ${request.offset} to ${request.offset + request.length}`);
    console.log(`  destination  ${describe(answer.destination)}`);
    for (const source of answer.sources.slice(0, answer.sourceCount)) {
      console.log(`  source       ${describe(source)}`);
    }
    return true;
  };
  return { ...ops, begin };
}

function describe({ type, flags, offset, end, address }: Mapping): string {
  const range = `bytes ${offset} to ${end}`;
  if (type === MappingType.DELALLOC) return `${range}, promised, without an address yet`;
  if (type !== MappingType.MAPPED) return `${range}, a hole`;
  const shared = (flags & MappingFlag.SHARED) !== 0 ? ', shared' : '';
  return `${range}, at ${hex(address)} on the device${shared}`;
}
