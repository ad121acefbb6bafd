/** A device whose calls end a while later, as many at once as there are: a network, or a bus. */
export class DelayDevice {
  sync = false;
  name = 'delayed memory';

  constructor(inner, ms) {
    this.inner = inner;
    this.ms = ms;
  }

  get readOnly() {
    return this.inner.readOnly;
  }
  get size() {
    return this.inner.size;
  }

  read(position, buffer) {
    return this.#later(() => this.inner.read(position, buffer));
  }
  readv(position, buffers) {
    return this.#later(() => this.inner.readv(position, buffers));
  }
  write(position, buffer) {
    return this.#later(() => this.inner.write(position, buffer));
  }
  writev(position, buffers) {
    return this.#later(() => this.inner.writev(position, buffers));
  }
  flush() {
    return this.#later(() => this.inner.flush());
  }
  discard(position, length) {
    return this.#later(() => this.inner.discard(position, length));
  }
  prepare(position, length) {
    return this.#later(() => this.inner.prepare(position, length));
  }
  grow(size) {
    return this.#later(() => this.inner.grow(size));
  }
  close() {
    return this.inner.close();
  }

  async #later(work) {
    await new Promise((resolve) => {
      if (this.ms === 0) setImmediate(resolve);
      else setTimeout(resolve, this.ms);
    });
    return work();
  }
}
