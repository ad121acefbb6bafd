/**
 * Recycled memory: what one volume had as its cache is given to the next one as it is.
 *
 * A fresh memory for each of a hundred thousand volumes is most of what they cost. And memory that
 * holds what another image had there is a harder test than zeros: nothing is right by luck.
 */

const fresh = WebAssembly.Memory;
const pool = new Map<number, InstanceType<typeof fresh>[]>();
const lent: InstanceType<typeof fresh>[] = [];

/** While it is in place, `new WebAssembly.Memory` hands out what {@link recycle} has taken back. */
export function recycling(): void {
  // A constructor that returns an object of its own; only `initial` is used by the cache.
  WebAssembly.Memory = function memory(descriptor: { initial: number }) {
    const made = pool.get(descriptor.initial)?.pop() ?? new fresh(descriptor);
    lent.push(made);
    return made;
  } as unknown as typeof fresh;
}

/** Takes back all that was lent: no volume that had it is used any more. */
export function recycle(): void {
  for (const memory of lent.splice(0)) {
    const size = memory.buffer.byteLength / 65_536;
    const idle = pool.get(size) ?? [];
    if (idle.length < 3) pool.set(size, [...idle, memory]);
  }
}
