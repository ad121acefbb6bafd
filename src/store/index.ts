/**
 * store: blocks with counts, space, transaction groups, and how they become durable.
 * It knows that slots name blocks, not what trees they make.
 */
export type { Commit } from './commit.ts';
export {
  type CreateOptions,
  type DeviceContent,
  FIRST_INODE,
  FIRST_REALM,
  newSuperblock,
  Probe,
  Wipe,
} from './create.ts';
export type { FlushLog } from './flush-log.ts';
export { Groups } from './groups.ts';
export type { LogEnd } from './log.ts';
export { FlushDevice, Mount, type Mounted } from './mount.ts';
export { type FoundLog, ReadLog } from './read-log.ts';
export { Resize } from './resize.ts';
export { noSpace, Space, type SpaceUse } from './space.ts';
export { Store, type StoreClient, type StoreOptions } from './store.ts';
export { Trim, type Trimmed } from './trim.ts';
