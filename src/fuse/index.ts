/**
 * fuse: a volume as a filesystem of the kernel's, through /dev/fuse and nothing else.
 *
 * wire.ts has the bytes, session.ts one connection, operations/ what each request does to inodes,
 * mount.ts and worker.ts the two threads of a mount, control/ what others than the kernel may ask.
 */
export { remount, unmount } from './attach.ts';
export { MountableVolume, VolumeMount } from './client/volume.ts';
export { type OpenVolume, RemoteVolume } from './control/remote.ts';
export type { MountReport } from './control/report.ts';
export { seemsMounted } from './control/socket-path.ts';
export { checkHandedOver, descriptorIn } from './handed-over.ts';
export { BUCKETS, percentile } from './latency.ts';
export { type MountOptions, mountVolume, ServedMount, type ServeOptions } from './mount.ts';
