/** A device that counts what reaches it: calls, bytes, flushes. */
export class CountingDevice {
  constructor(inner) {
    this.inner = inner;
    this.reset();
  }

  reset() {
    this.reads = 0;
    this.writes = 0;
    this.readBytes = 0;
    this.writtenBytes = 0;
    this.flushes = 0;
  }

  get name() {
    return this.inner.name;
  }
  get sync() {
    return this.inner.sync;
  }
  get readOnly() {
    return this.inner.readOnly;
  }
  get size() {
    return this.inner.size;
  }

  read(position, buffer) {
    this.reads++;
    this.readBytes += buffer.length;
    return this.inner.read(position, buffer);
  }

  readv(position, buffers) {
    this.reads++;
    for (const buffer of buffers) this.readBytes += buffer.length;
    return this.inner.readv(position, buffers);
  }

  write(position, buffer) {
    this.writes++;
    this.writtenBytes += buffer.length;
    return this.inner.write(position, buffer);
  }

  writev(position, buffers) {
    this.writes++;
    for (const buffer of buffers) this.writtenBytes += buffer.length;
    return this.inner.writev(position, buffers);
  }

  flush() {
    this.flushes++;
    return this.inner.flush();
  }

  discard(position, length) {
    return this.inner.discard(position, length);
  }
  prepare(position, length) {
    return this.inner.prepare(position, length);
  }
  grow(size) {
    return this.inner.grow(size);
  }
  close() {
    return this.inner.close();
  }
}
