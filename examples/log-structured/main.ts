/**
 * Keeps notes in a log: each run adds one, and shows what the runs before have left. After a build:
 * `node --import ./examples/types.mjs examples/log-structured/main.ts notes.img 'a note'`.
 */
import { existsSync } from 'node:fs';
import { FileDevice } from 'ramet';
import { fromUtf8, MIB, utf8 } from 'ramet/base';
import { Driver } from 'ramet/drive';
import { BufferedRead, BufferedWrite, validated } from 'ramet/iomap';
import { Clean } from './clean.ts';
import { Format, Mount } from './mount.ts';
import { Create } from './names.ts';
import { Sync } from './sync.ts';

const [path = 'notes.img', note = 'nothing new'] = process.argv.slice(2);

const create = !existsSync(path);
const device = FileDevice.open(path, create ? { create, size: 16 * MIB } : {});
const driver = new Driver(device, {
  pause: () => new Promise((resolve) => setImmediate(resolve)),
});
if (create) await driver.start(new Format(device.size));
const fs = await driver.start(new Mount(device.size, { wrap: validated }));
driver.concurrency = fs.pool.operationsMax;
console.log(`${path}: checkpoint ${fs.generation - 1}, ${fs.available} of ${fs.space.blocks} free`);

const notes = fs.names.get('notes') ?? (await driver.start(new Create(fs, 'notes')));
const line = utf8(`${note}\n`);
await driver.start(new BufferedWrite().begin(notes, notes.size, line));

const text = new Uint8Array(notes.size);
await driver.start(new BufferedRead().begin(notes, 0, text.length, text));
console.log(fromUtf8(text).trimEnd());

const generation = await driver.start(new Sync(fs));
await driver.start(new Clean(fs));
console.log(`durable with checkpoint ${generation}; ${fs.available} blocks free`);
device.close();
