/** Rows of the report, and the arithmetic behind them. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Microseconds per call: the median of `rounds` rounds of `calls` calls each. */
export function timeUs(calls, rounds, body) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) body(round * calls + i);
    times.push(((performance.now() - start) * 1000) / calls);
  }
  return median(times);
}

/** The same for two bodies in turn, so that both see the same weather. */
export function pairUs(calls, rounds, ours, peer) {
  const a = [];
  const b = [];
  for (let round = 0; round < rounds; round++) {
    a.push(timeUs(calls, 1, (i) => ours(round * calls + i)));
    b.push(timeUs(calls, 1, (i) => peer(round * calls + i)));
  }
  return [median(a), median(b)];
}

/**
 * A row. `target` is what it has to be, in words; `ok` whether it is; `ratio` is ours over the
 * peer's, or undefined where there is none.
 */
export function row({ name, unit, ours, peer, peerName, target, ok }) {
  const ratio = peer === undefined ? undefined : round(ours / peer);
  return { name, unit, ours: round(ours), peer: round(peer), peerName, ratio, target, ok };
}

export function format({ name, unit, ours, peer, peerName, ratio, target, ok }) {
  const beside = peer === undefined ? '' : `${peer} ${unit} ${peerName}, ratio ${ratio}`;
  return (
    `${ok ? 'ok  ' : 'MISS'} ${name.padEnd(52)} ${`${ours} ${unit}`.padStart(14)}  ` +
    `${beside.padEnd(44)} ${target}`
  );
}

function round(value) {
  if (value === undefined) return undefined;
  const digits = value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0;
  return Number(value.toFixed(digits));
}

/** Milliseconds between two turns of something else, at the most, while `work` goes on. */
export async function longestTurn(work) {
  let last = performance.now();
  let most = 0;
  let running = true;
  const tick = () => {
    const now = performance.now();
    most = Math.max(most, now - last);
    last = now;
    if (running) setImmediate(tick);
  };
  setImmediate(tick);
  await work();
  running = false;
  return most;
}

/** Whole numbers below `limit`, the same in every run. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * limit);
  };
}
