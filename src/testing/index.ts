/**
 * testing: simulated devices, the suites that devices and filesystems must pass, and a model of a
 * volume in a few plain objects. Published as `ramet/testing`, for whoever writes a device or wants
 * to see ramet lose power.
 *
 * Everything here follows from seeds. Nothing here imports a test runner.
 */
export { DeviceCounters } from './counters.ts';
export {
  type CrashChoice,
  type CrashPlan,
  crashChoices,
  dropAll,
  keepAll,
  keepSubset,
  type PendingWrite,
  randomCrash,
  SECTOR_SIZE,
  sectorsOf,
} from './crash-choice.ts';
export { CrashDevice, type CrashDeviceOptions } from './crash-device.ts';
export {
  type DeviceCapabilities,
  type DeviceCase,
  type DeviceFactory,
  type DeviceRequest,
  type DeviceSubject,
  deviceSuite,
} from './device-suite.ts';
export { type Fault, FaultDevice, type FaultEffect, type Strike } from './fault-device.ts';
export { handlesOf, promisesOf } from './filesystem-faces.ts';
export {
  ContentDigest,
  dumpLine,
  ModelError,
  ModelFs,
  type ModelHandle,
  type ModelKind,
  type ModelNode,
  type ModelStat,
  ModelVolume,
} from './model.ts';
export { changeRange, cloneRange, type ModelRange } from './model-ranges.ts';
export { Random } from './random.ts';
export { DEFAULT_LATENCY, type Latency, Schedule } from './schedule.ts';
export { SlowDevice, type SlowDeviceOptions } from './slow-device.ts';
