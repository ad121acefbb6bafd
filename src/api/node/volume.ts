/**
 * Volume for Node: opened by the path of an image too, with the process's own user.
 */
import { existsSync } from 'node:fs';
import type { Device } from '../../device/index.ts';
import { FileDevice } from '../../device/node.ts';
import { giveDevice, makeDriver, takeDevice } from '../device-use.ts';
import type { Caller } from '../fs.ts';
import { DEFAULT_SIZE, type SnapshotView, Volume, type VolumeOptions } from '../index.ts';
import { checkOptions, mountVolume } from '../mount.ts';
import { runAsync, runSync } from '../procedure.ts';
import { callerOf, type VolumeEngine } from '../volume.ts';

/** A volume on a device, or in an image file or on a disk named by a path. */
export class NodeVolume extends Volume {
  /**
   * Opens a volume, or makes one. A path is opened, locked while the volume is open, and closed
   * with it.
   *
   * @throws {FilesystemError} `ENOENT`, `EACCES`, `EISDIR` for a path; `EBUSY` naming the holder if
   *   another process has the image; `EINVAL` if there is no volume or one of a newer format, `EIO`
   *   if it is damaged, `EEXIST` if one was to be made over something else, `EROFS`
   * @throws {RangeError} if an option is outside its limits
   */
  static override async open(
    pathOrDevice: string | Device,
    options: VolumeOptions = {},
  ): Promise<NodeVolume> {
    const all = { ...ofProcess(), ...options };
    const device = takeDeviceOf(pathOrDevice, all);
    try {
      const driver = makeDriver(device);
      const engine = await runAsync(driver, mountVolume(device, all), {});
      return new this(device, driver, engine, all);
    } catch (error) {
      await dropDeviceOf(pathOrDevice, device);
      throw error;
    }
  }

  static override openSync(pathOrDevice: string | Device, options: VolumeOptions = {}): NodeVolume {
    const all = { ...ofProcess(), ...options };
    const device = takeDeviceOf(pathOrDevice, all);
    try {
      const driver = makeDriver(device);
      const engine = runSync(driver, mountVolume(device, all));
      return new this(device, driver, engine, all);
    } catch (error) {
      void dropDeviceOf(pathOrDevice, device);
      throw error;
    }
  }

  /** The image that was lent is here again, and nobody else has an engine for it. */
  protected openAgain(lent: FileDevice, firstFile: number): void {
    const device = takeBack(lent);
    const driver = makeDriver(device);
    const options = { ...this.options, create: false, overwrite: false };
    const engine = runSync(driver, mountVolume(device, options));
    this.moveBack({ device, driver, engine }, firstFile);
  }

  protected override releaseDevice(device: Device): Promise<void> | undefined {
    return OPENED.has(device) ? device.close() : undefined;
  }
}

/** Devices that were opened by their path: they are closed with their volume. */
const OPENED = new WeakSet<Device>();

function takeDeviceOf(pathOrDevice: string | Device, options: VolumeOptions): Device {
  if (typeof pathOrDevice !== 'string') {
    takeDevice(pathOrDevice);
    return pathOrDevice;
  }
  const device = openPath(pathOrDevice, options);
  OPENED.add(device);
  return device;
}

/** There is no volume after all. */
function dropDeviceOf(pathOrDevice: string | Device, device: Device): Promise<void> | undefined {
  if (typeof pathOrDevice === 'string') return device.close();
  giveDevice(device);
  return undefined;
}

/** The device of a volume that was opened by its path; undefined if it is somebody else's. */
export function imageOf(device: Device): FileDevice | undefined {
  return OPENED.has(device) ? (device as FileDevice) : undefined;
}

/** The image that was lent is here again. */
function takeBack(lent: FileDevice): FileDevice {
  const device = lent.reopen();
  OPENED.add(device);
  return device;
}

/** A volume that is served to others than callers of this API. */
export class ServedVolume extends NodeVolume {
  static override openSync(
    pathOrDevice: string | Device,
    options: VolumeOptions = {},
  ): ServedVolume {
    // biome-ignore lint/complexity/noThisInStatic: it is opened as what this class is.
    return super.openSync(pathOrDevice, options) as ServedVolume;
  }

  /**
   * The same volume for somebody else, with open files of his own, numbered from `firstFile` on. He
   * closes them, and never the volume.
   */
  guest(
    options: Pick<VolumeOptions, 'uid' | 'gid' | 'umask' | 'now'>,
    firstFile = 0,
  ): ServedVolume {
    const { device, driver, engine } = this;
    const settings = { ...options, commitIntervalMs: 0 };
    const guest = new ServedVolume(device, driver, engine, settings);
    guest.moveBack(this.parts, firstFile);
    return guest;
  }

  /** What its operations are made by, what runs them, and where its bytes are. */
  get parts(): VolumeEngine {
    return { engine: this.engine, driver: this.driver, device: this.device };
  }

  /** What runs its calls of `fs`, or those of a view. */
  calls(view?: SnapshotView): Caller {
    return view === undefined ? this.caller : callerOf(view);
  }
}

function openPath(path: string, options: VolumeOptions): Device {
  checkOptions(options);
  const { readOnly = false, create = false, overwrite = false, size = DEFAULT_SIZE } = options;
  if ((!create && !overwrite) || existsSync(path)) return FileDevice.open(path, { readOnly });
  return FileDevice.open(path, { create: true, size });
}

/** Who the process is, and what it takes from the permissions of new files. */
function ofProcess(): { uid: number; gid: number; umask: number } {
  return {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    umask: process.umask(),
  };
}
