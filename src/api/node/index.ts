/**
 * api/node: volumes in image files of the host, with what belongs to a process: user and umask.
 * The door of Node's own part of the API.
 */
export { NodeVolume } from './volume.ts';
