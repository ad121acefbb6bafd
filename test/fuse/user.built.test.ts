/**
 * ramet mount by somebody who is not root: fusermount3 mounts, and hands over the connection.
 *
 * It runs in a namespace of its own, in which /dev/fuse is for everybody, as on most systems.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeMounts, MAIN, Mounted } from './mounted.ts';

const USER = 65534;

/** Runs a script as a user with a /dev/fuse of its own. */
function asUser(folder: string, script: string) {
  chmodSync(folder, 0o777);
  const [device, program] = [`${folder}/fuse`, `${folder}/script`];
  writeFileSync(
    program,
    `set -eu\ncd ${folder}\nramet() { '${process.execPath}' '${MAIN}' "$@"; }\n${script}`,
  );
  const setUp = [
    `[ -e ${device} ] || mknod ${device} c 10 229`,
    `chmod 666 ${device}`,
    `mount --bind ${device} /dev/fuse`,
    `exec setpriv --reuid=${USER} --regid=${USER} --clear-groups env HOME=${folder} sh ${program}`,
  ].join(' && ');
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', setUp], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

describeMounts('a mount of a user', () => {
  it('is made, used and unmounted by him, and for him alone', () => {
    using mounted = new Mounted('64MiB');
    const { folder } = mounted;
    const { status, stdout, stderr } = asUser(
      folder,
      `ramet create u.img --size 64MiB
      mkdir own
      ramet mount u.img own --background
      grep ${folder} /proc/self/mounts
      echo hello > own/file
      cp own/file own/copy
      stat -c %u:%g own/file
      cat own/copy
      (cd own; ramet umount ${folder}/own 2>&1 || true)
      ramet umount own
      ls own
      ramet check u.img
      ramet cat u.img:/copy`,
    );
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(
      /own fuse\.ramet rw,nosuid,nodev,.*user_id=65534,group_id=65534,default_permissions/u,
    );
    expect(stdout).not.toContain('allow_other');
    expect(stdout).toMatch(/65534:65534\nhello\n/u);
    expect(stdout).toMatch(/busy \(EBUSY\)\n/u);
    expect(stdout).toMatch(/u\.img: clean.*\nhello\n$/u);
    expect(existsSync(`${folder}/u.img.owner`)).toBe(false);
  });

  it('is refused with a reason, and nothing is left of it', () => {
    using mounted = new Mounted('64MiB');
    const { folder } = mounted;
    const { stdout } = asUser(
      folder,
      `ramet create u.img --size 64MiB
      mkdir own
      ramet mount u.img own -b -o allow_other 2>&1 || true
      mkdir -p other && chmod 555 other
      ramet mount u.img other -b 2>&1 || true
      mkdir bin; ln -s "$(command -v flock)" bin
      PATH=${folder}/bin ramet mount u.img own 2>&1 || true
      ramet umount own 2>&1 || true
      ramet check u.img`,
    );
    expect(stdout.match(/\((E\w+)\)$/gmu)).toEqual(['(EPERM)', '(EPERM)', '(ENOENT)', '(EINVAL)']);
    expect(stdout).toMatch(/user_allow_other/u);
    expect(stdout).toMatch(/fusermount3, which is not installed/u);
    expect(stdout).toMatch(/u\.img: clean/u);
  });

  it('is made by his program of a volume in use, and is gone when it ends', () => {
    using mounted = new Mounted('64MiB');
    const { folder } = mounted;
    const door = new URL('../../dist/index.js', import.meta.url).href;
    writeFileSync(
      `${folder}/program.mjs`,
      `import { execSync } from 'node:child_process';
      import { Volume } from '${door}';
      const vol = await Volume.open('p.img', { create: true, size: 2 ** 26 });
      const mount = await vol.mount('own');
      execSync('echo hello > own/file');
      process.stdout.write(vol.fs.readFileSync('/file', 'utf8'));
      await mount.unmount();
      await vol.mount('own');
      process.exit(0);`,
    );
    const script = `mkdir own
      '${process.execPath}' program.mjs
      grep ${folder}/own /proc/self/mounts || echo gone
      ramet cat p.img:/file`;
    const { status, stdout, stderr } = asUser(folder, script);
    expect(status, stderr).toBe(0);
    expect(stdout).toBe('hello\ngone\nhello\n');
  });
});
