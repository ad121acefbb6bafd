/**
 * Volume for Node: opened by the path of an image too, with the process's own user.
 */
import { existsSync } from 'node:fs';
import type { Device } from '../../device/index.ts';
import { FileDevice } from '../../device/node.ts';
import type { Driver } from '../../drive/index.ts';
import type { Engine } from '../../volume/index.ts';
import { makeDriver } from '../device-use.ts';
import { DEFAULT_SIZE, Volume, type VolumeOptions } from '../index.ts';
import { checkOptions, mountVolume } from '../mount.ts';
import { runAsync, runSync } from '../procedure.ts';

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
  ): Promise<Volume> {
    const all = { ...ofProcess(), ...options };
    if (typeof pathOrDevice !== 'string') return await Volume.open(pathOrDevice, all);
    const device = openPath(pathOrDevice, all);
    try {
      const driver = makeDriver(device);
      return new NodeVolume(
        device,
        driver,
        await runAsync(driver, mountVolume(device, all), {}),
        all,
      );
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  static override openSync(pathOrDevice: string | Device, options: VolumeOptions = {}): Volume {
    const all = { ...ofProcess(), ...options };
    if (typeof pathOrDevice !== 'string') return Volume.openSync(pathOrDevice, all);
    const device = openPath(pathOrDevice, all);
    try {
      const driver = makeDriver(device);
      return new NodeVolume(device, driver, runSync(driver, mountVolume(device, all)), all);
    } catch (error) {
      void device.close();
      throw error;
    }
  }

  protected override releaseDevice(device: Device): Promise<void> | undefined {
    return device.close();
  }
}

/** A volume in an image file that is served to others than callers of this API. */
export class ServedVolume extends NodeVolume {
  /** As {@link NodeVolume.openSync}. */
  static override openSync(path: string, options: VolumeOptions = {}): ServedVolume {
    const all = { ...ofProcess(), ...options };
    const device = openPath(path, all);
    try {
      const driver = makeDriver(device);
      return new ServedVolume(device, driver, runSync(driver, mountVolume(device, all)), all);
    } catch (error) {
      void device.close();
      throw error;
    }
  }

  /**
   * The same volume for somebody else, with open files of his own. He closes them, and never the
   * volume.
   */
  guest(options: Pick<VolumeOptions, 'uid' | 'gid' | 'umask'>): Volume {
    const { device, driver, engine } = this;
    return new ServedVolume(device, driver, engine, { ...options, commitIntervalMs: 0 });
  }

  /** What its operations are made by, what runs them, and where its bytes are. */
  get parts(): { readonly engine: Engine; readonly driver: Driver; readonly device: Device } {
    return { engine: this.engine, driver: this.driver, device: this.device };
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
