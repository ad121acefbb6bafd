/** device, the part of the room that needs Node. */

export { FileDevice } from './file.ts';
export type { FileDeviceOptions, ImageLoan } from './image-file.ts';
export { ownerPath } from './owner-file.ts';
