/**
 * The part of WebAssembly that ramet uses. TypeScript declares it only in its DOM library, which
 * the engine must not see: there `name`, `length` and `event` would be global variables.
 */
declare namespace WebAssembly {
  interface MemoryDescriptor {
    /** Pages of 64 KiB. */
    initial: number;
    maximum?: number;
    shared?: boolean;
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor);
    /** Replaced by every `grow`, unless the memory is shared. */
    readonly buffer: ArrayBuffer;
    /** Adds `delta` pages and answers how many there were. */
    grow(delta: number): number;
  }
}
