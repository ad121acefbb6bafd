/**
 * Volumes by way of mount(8): the helper that it calls, options in the order given, a remount.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeMounts, MAIN, Mounted, ramet } from './mounted.ts';

const HELPER = '/sbin/mount.fuse.ramet';

/** What /proc/mounts says of a mount. */
function optionsAt(path: string): string {
  const lines = readFileSync('/proc/mounts', 'utf8').split('\n');
  return lines.find((line) => line.split(' ')[1] === path)?.split(' ')[3] ?? 'not mounted';
}

describeMounts('mount -t fuse.ramet', () => {
  it('mounts by the helper, and from an fstab', () => {
    using mounted = new Mounted('64MiB');
    const { image, path, folder } = mounted;
    const before = readIfThere(HELPER);
    mounted.ok('install-mount-helper');
    try {
      mounted.sh(`mount -t fuse.ramet ${image} ${path} -o noatime,nosuid,writeback`, folder);
      expect(optionsAt(path)).toMatch(/^rw,nosuid,noatime,/u);
      mounted.sh('echo hello > file');
      mounted.sh(`umount ${path}`, folder);
      mounted.sh('until [ ! -e a.img.owner ]; do sleep 0.02; done', folder);
      const line = `${image} ${path} fuse.ramet defaults,noauto,nofail,x-test,ro 0 0`;
      writeFileSync(`${folder}/fstab`, `${line}\n`);
      mounted.sh(`mount -T ${folder}/fstab ${path}; cat mnt/file; ! touch mnt/file`, folder);
      expect(optionsAt(path)).toMatch(/^ro,/u);
      mounted.umount();
      mounted.ok('install-mount-helper', '--remove');
      expect(readIfThere(HELPER)).toBeUndefined();
    } finally {
      rmSync(HELPER, { force: true });
      if (before !== undefined) writeFileSync(HELPER, before, { mode: 0o755 });
    }
  });

  it('leaves alone what is not ours', () => {
    using mounted = new Mounted('64MiB');
    const file = `${mounted.folder}/other`;
    writeFileSync(file, '#!/bin/sh\n');
    const found = [[], ['--remove']].map((more) =>
      ramet('install-mount-helper', '--path', file, ...more),
    );
    expect(found.map(({ status, stderr }) => [status, stderr])).toEqual([
      [1, expect.stringMatching(/something else \(EEXIST\)\n$/u)],
      [1, expect.stringMatching(/something else \(EEXIST\)\n$/u)],
    ]);
    expect(readFileSync(file, 'utf8')).toBe('#!/bin/sh\n');
  });

  it('takes options in their order', () => {
    using mounted = Mounted.start('-o', 'ro,noatime,writeback,rw,relatime,writeback=off,uid=77');
    expect(optionsAt(mounted.path)).toMatch(/^rw,relatime,/u);
    mounted.sh('echo hello > file');
    expect(mounted.sh('stat -c %u:%g file')).toBe('77:0');
    mounted.umount();
    const wrong = ['uid=', 'gid=x', 'writeback=maybe'].map(
      (option) => ramet('mount', mounted.image, mounted.path, '-o', option).status,
    );
    expect(wrong).toEqual([2, 2, 2]);
  });

  it("is mounted again with others, unless they are the server's", () => {
    using mounted = Mounted.start();
    const { image, path } = mounted;
    mounted.sh('echo hello > file');
    mounted.ok('mount', image, path, '-o', 'remount,ro,noatime');
    expect(optionsAt(path)).toMatch(/^ro,noatime,/u);
    mounted.sh('cat file; ! touch file 2>/dev/null');
    mounted.ok('mount', image, path, '-o', 'remount,rw');
    mounted.sh('exec 3>> file; echo again >&3; ! mount -i -o remount,ro . 2>/dev/null');
    const command = `${process.execPath} ${MAIN} mount ${image} . -o remount,ro`;
    const busy = mounted.sh(`exec 3>> file; ${command} 2>&1 || true`);
    expect(busy).toMatch(/\(EBUSY\)$/u);
    expect(ramet('mount', image, path, '-o', 'remount,acl')).toMatchObject({ status: 2 });
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });
});

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
