/**
 * drive: runs operations against a device, in this turn or across turns.
 * The only engine-side room that touches devices.
 */
export { Driver, type DriverOptions, type StartOptions } from './driver.ts';
