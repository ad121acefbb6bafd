/** Sparse bytes: the content of a file of the model, block by block. It shares nothing. */

export const BLOCK = 4096;

/** Bytes with holes. */
export class SparseBytes {
  size = 0;
  readonly blocks = new Map<number, Uint8Array>();

  write(offset: number, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const at = offset + done;
      const from = at % BLOCK;
      const part = data.subarray(done, done + BLOCK - from);
      this.#block(Math.floor(at / BLOCK)).set(part, from);
      done += part.length;
    }
    if (data.length > 0) this.size = Math.max(this.size, offset + data.length);
  }

  truncate(size: number): void {
    for (const [index, block] of this.blocks) {
      const start = index * BLOCK;
      if (start >= size) this.blocks.delete(index);
      else if (start + BLOCK > size) block.fill(0, size - start);
    }
    this.size = size;
  }

  /** Bytes become zeros; blocks that are gone whole become holes. */
  punch(offset: number, length: number): void {
    const end = Math.min(offset + length, this.size);
    for (const [index, block] of this.blocks) {
      const start = index * BLOCK;
      const from = Math.max(0, offset - start);
      const to = Math.min(BLOCK, end - start);
      if (from >= to) continue;
      if (from === 0 && (to === BLOCK || start + to === this.size)) this.blocks.delete(index);
      else block.fill(0, from, to);
    }
  }

  /** Whole blocks, and the last one of the source, become a copy of what is in `source`. */
  cloneRange(source: SparseBytes, sourceOffset: number, offset: number, length: number): void {
    const from = sourceOffset / BLOCK;
    const to = offset / BLOCK;
    for (let i = 0; i * BLOCK < length; i++) {
      const block = source.blocks.get(from + i);
      if (block === undefined) this.blocks.delete(to + i);
      else this.blocks.set(to + i, block.slice());
    }
    this.size = Math.max(this.size, offset + length);
  }

  /** Takes whole blocks out, or puts holes in. */
  shift(what: 'collapse' | 'insert', offset: number, length: number): void {
    const [first, count] = [offset / BLOCK, length / BLOCK];
    const before = [...this.blocks];
    this.blocks.clear();
    for (const [index, block] of before) {
      if (index < first) this.blocks.set(index, block);
      else if (what === 'insert') this.blocks.set(index + count, block);
      else if (index >= first + count) this.blocks.set(index - count, block);
    }
    this.size += what === 'insert' ? length : -length;
  }

  /** What a read of at most `length` bytes at `offset` gives. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const from = at % BLOCK;
      const part = Math.min(BLOCK - from, bytes.length - done);
      const block = this.blocks.get(Math.floor(at / BLOCK));
      if (block !== undefined) bytes.set(block.subarray(from, from + part), done);
      done += part;
    }
    return bytes;
  }

  copy(): SparseBytes {
    const copy = new SparseBytes();
    copy.size = this.size;
    for (const [index, block] of this.blocks) copy.blocks.set(index, block.slice());
    return copy;
  }

  #block(index: number): Uint8Array {
    let block = this.blocks.get(index);
    if (block === undefined) {
      block = new Uint8Array(BLOCK);
      this.blocks.set(index, block);
    }
    return block;
  }
}
