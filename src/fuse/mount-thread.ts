/**
 * Mount thread: the thread beside a volume's own that looks after its mount, so that the first may
 * block, on a program that works there say. It has the clock, tells the kernel what it has to be
 * told, has the socket, and passes on what the volume's own thread asks of the engine.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BEAT_MS, BEATS, bump, MountState, STATE } from './client/words.ts';
import { mountVolume } from './mount.ts';
import { type FromMountThread, type ThreadOptions, told } from './protocol.ts';

const { options, port, words: memory } = workerData as ThreadOptions;
const words = new Int32Array(memory);

function tell(message: FromMountThread): void {
  parentPort?.postMessage(message);
}

function end(state: number): void {
  if (Atomics.compareExchange(words, STATE, MountState.SERVING, state) !== MountState.SERVING) {
    return;
  }
  bump(words);
}

function failed(error: unknown): void {
  end(MountState.FAILED);
  tell({ type: 'failed', ...told(error) });
}

async function begin(): Promise<void> {
  const mount = await mountVolume({
    ...options,
    onControl: (server) => server.attach(port, () => bump(words)),
    onBroken: (message) => tell({ type: 'broken', message }),
    onWarning: (message) => tell({ type: 'warning', message }),
  });
  tell({ type: 'mounted' });
  await mount.ended;
  end(MountState.ENDED);
  tell({ type: 'ended' });
}

const beats = setInterval(() => void Atomics.add(words, BEATS, 1), BEAT_MS);
process.on('exit', () => end(MountState.FAILED));
void begin()
  .catch(failed)
  .finally(() => {
    clearInterval(beats);
    port.close();
  });
