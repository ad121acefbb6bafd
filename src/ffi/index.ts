/**
 * ffi: what only the C library can do, through an optional dependency. Node only.
 *
 * Everything here can be missing: who calls has another way, or says `ENOTSUP`.
 */
export { receiveDescriptor, socketPair } from './descriptors.ts';
export { FileMapping } from './file-mapping.ts';
export { syncFilesystem } from './sync-filesystem.ts';
