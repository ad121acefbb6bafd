/**
 * What the kernel has sent to a session while a shell worked in the mount, once more.
 *
 * RAMET_RECORD=1 records it anew, by the script below, from the kernel that is running.
 */
import { describe, expect, it } from 'vitest';
import { MIB, viewOf } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Opcode } from '../../src/fuse/constants.ts';
import { decode, encode, type FieldKind, type Layout } from '../../src/fuse/layout.ts';
import { Message } from '../../src/fuse/message.ts';
import { Served } from '../../src/fuse/served.ts';
import { Session } from '../../src/fuse/session.ts';
import * as wire from '../../src/fuse/wire.ts';
import { create } from '../volume/rig.ts';
import { NOW } from './kernel.ts';
import { serveWork, whyNoMount } from './real.ts';
import { type Exchange, RecordingTransport, readRecording, writeRecording } from './recording.ts';

/** Does everything once that the kernel has a request for. */
const SCRIPT = `
echo hello > file
cat file > /dev/null
mkdir -m 2775 folder
mkdir folder/inner
: > folder/empty
head -c 100000 /dev/zero | tr '\\0' x > folder/large
ln file link; ln -s file symlink; readlink symlink > /dev/null; cat symlink > /dev/null
mknod fifo p; mknod null c 1 3
chmod 640 file; chown 5:6 file; touch -d '1969-12-31 23:59:58.5 UTC' file
truncate -s 12 file; truncate -s 9000 file
stat -c %W folder > /dev/null
mv file renamed; mv -n renamed folder; mv folder/renamed file; mv --exchange file link 2>&1 || true
python3 - <<'END'
import os, ctypes, fcntl, array
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call, *args):
    try: return call(*args)
    except OSError as error: return error.errno
for flags in (1, 2, 4): libc.renameat2(-100, b'file', -100, b'link', flags)
fd = os.open('data', os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b'a' * 9000, 4096)
attempt(os.posix_fallocate, fd, 0, 65536)
libc.fallocate(fd, 3, ctypes.c_long(4096), ctypes.c_long(4096))
libc.fallocate(fd, 0x10, ctypes.c_long(0), ctypes.c_long(4096))
attempt(os.lseek, fd, 0, os.SEEK_DATA); attempt(os.lseek, fd, 0, os.SEEK_HOLE)
attempt(os.lseek, fd, 1 << 40, os.SEEK_DATA)
other = os.open('copy', os.O_RDWR | os.O_CREAT)
os.copy_file_range(fd, other, 65536, 0, 0)
os.fsync(fd); os.fdatasync(fd)
os.unlink('data'); os.pread(fd, 10, 4096); os.close(fd)
os.setxattr('copy', 'user.name', b'value'); os.getxattr('copy', 'user.name')
attempt(os.setxattr, 'copy', 'user.name', b'x', os.XATTR_CREATE)
os.listxattr('copy'); os.removexattr('copy', 'user.name')
attempt(os.removexattr, 'copy', 'user.name'); attempt(os.setxattr, 'copy', 'system.x', b'')
attempt(os.getxattr, 'copy', 'user.none')
attempt(fcntl.ioctl, other, 0x80086601, array.array('l', [0]))
attempt(fcntl.ioctl, other, 0x40086602, array.array('l', [0x40]))
attempt(fcntl.ioctl, other, 0x801c581f, bytearray(28))
attempt(fcntl.ioctl, other, 0x401c5820, bytearray(28))
attempt(fcntl.ioctl, other, 0x80087601, bytearray(8))
attempt(fcntl.ioctl, other, 0x81009431, bytearray(256))
attempt(fcntl.ioctl, other, 0x5401, array.array('l', [0]))
temporary = os.open('.', os.O_TMPFILE | os.O_RDWR)
os.pwrite(temporary, b'all', 0)
libc.linkat(-100, f'/proc/self/fd/{temporary}'.encode(), -100, b'named', 0x400)
os.open('.', os.O_TMPFILE | os.O_RDWR)
fcntl.flock(other, fcntl.LOCK_EX); fcntl.lockf(other, fcntl.LOCK_EX)
folder = os.open('folder', os.O_RDONLY); os.fsync(folder)
os.statvfs('.'); os.listdir('folder'); os.scandir('folder')
attempt(os.open, 'absent', os.O_RDONLY); attempt(os.rmdir, 'folder'); attempt(os.unlink, 'folder')
attempt(os.mkdir, 'folder'); attempt(os.mkdir, 'x' * 256); attempt(os.link, 'absent', 'y')
END
ls -lR . > /dev/null
as="setpriv --reuid 1000 --regid 1000 --clear-groups"
$as sh -c 'cat copy; : > folder/mine' > /dev/null || true
chown 1000 copy; chmod 4755 copy; $as sh -c 'echo x >> copy' || true
rm -r folder link symlink fifo null
`;

/**
 * What INIT settles is never sent, nor is the older of two forms, nor what belongs to other kinds
 * of mounts; an interrupt takes a request that waits.
 */
const NOT_SENT = [
  'RENAME',
  'RELEASE',
  'RELEASEDIR',
  'GETLK',
  'SETLK',
  'SETLKW',
  'ACCESS',
  'INTERRUPT',
  'BMAP',
  'DESTROY',
  'POLL',
  'NOTIFY_REPLY',
  'COPY_FILE_RANGE',
  'SETUPMAPPING',
  'REMOVEMAPPING',
  'SYNCFS',
];

type AnyLayout = Layout<Record<string, FieldKind>>;

/** The structure behind the header of a request. */
const BODIES: Readonly<Record<number, AnyLayout>> = {
  [Opcode.FORGET]: wire.FORGET_IN,
  [Opcode.GETATTR]: wire.GETATTR_IN,
  [Opcode.SETATTR]: wire.SETATTR_IN,
  [Opcode.MKNOD]: wire.MKNOD_IN,
  [Opcode.MKDIR]: wire.MKDIR_IN,
  [Opcode.RENAME]: wire.RENAME_IN,
  [Opcode.RENAME2]: wire.RENAME2_IN,
  [Opcode.LINK]: wire.LINK_IN,
  [Opcode.OPEN]: wire.OPEN_IN,
  [Opcode.READ]: wire.READ_IN,
  [Opcode.WRITE]: wire.WRITE_IN,
  [Opcode.RELEASE]: wire.RELEASE_IN,
  [Opcode.FSYNC]: wire.FSYNC_IN,
  [Opcode.SETXATTR]: wire.SETXATTR_IN,
  [Opcode.GETXATTR]: wire.GETXATTR_IN,
  [Opcode.LISTXATTR]: wire.GETXATTR_IN,
  [Opcode.FLUSH]: wire.FLUSH_IN,
  [Opcode.INIT]: wire.INIT_IN,
  [Opcode.READDIR]: wire.READ_IN,
  [Opcode.READDIRPLUS]: wire.READ_IN,
  [Opcode.FSYNCDIR]: wire.FSYNC_IN,
  [Opcode.CREATE]: wire.CREATE_IN,
  [Opcode.TMPFILE]: wire.CREATE_IN,
  [Opcode.IOCTL]: wire.IOCTL_IN,
  [Opcode.BATCH_FORGET]: wire.BATCH_FORGET_IN,
  [Opcode.FALLOCATE]: wire.FALLOCATE_IN,
  [Opcode.LSEEK]: wire.LSEEK_IN,
  [Opcode.COPY_FILE_RANGE]: wire.COPY_FILE_RANGE_IN,
  [Opcode.COPY_FILE_RANGE_64]: wire.COPY_FILE_RANGE_IN,
  [Opcode.STATX]: wire.STATX_IN,
};

function makeSession(send: (reply: Uint8Array, length: number) => void): Session {
  const { engine, driver } = create(new MemoryDevice({ size: 32 * MIB }));
  const served = new Served({
    engine,
    root: engine.live,
    now: () => NOW,
    validSeconds: 10,
    writeback: false,
    acl: false,
    locks: false,
    noatime: true,
    generation: 0,
  });
  return new Session({
    served,
    driver,
    async: false,
    send: ({ reply }, length) => send(reply, length),
    onBroken: (error) => {
      throw error;
    },
  });
}

function record(): void {
  let recording: RecordingTransport | undefined;
  const printed = serveWork({
    script: SCRIPT,
    session: (transport) => makeSession((reply, length) => transport.write(reply, length)),
    wrap: (transport) => {
      recording = new RecordingTransport(transport);
      return recording;
    },
  });
  process.stdout.write(`${printed}\n`);
  writeRecording(recording?.exchanges ?? []);
}

if (process.env['RAMET_RECORD'] === '1' && whyNoMount() === undefined) record();

const recording = readRecording();

function opcodeOf({ request }: Exchange): number {
  return decode(wire.IN_HEADER, viewOf(request), 0).opcode;
}

describe('a recording of the kernel', () => {
  it('has a request of every kind that the kernel sends to us', () => {
    const found = new Set(recording.map(opcodeOf));
    // What is forgotten comes in batches or one by one, as it happens.
    found.add(Opcode.BATCH_FORGET);
    const missing = Object.entries(Opcode).filter(([, code]) => !found.has(code));
    expect(missing.map(([name]) => name)).toEqual(NOT_SENT);
  });

  it('is decoded and encoded to the same bytes', () => {
    for (const exchange of recording) {
      const { request } = exchange;
      const header = decode(wire.IN_HEADER, viewOf(request), 0);
      expect(header.len).toBe(request.length);
      const again = request.slice();
      encode(wire.IN_HEADER, viewOf(again), 0, header);
      const body = BODIES[header.opcode];
      if (body !== undefined) {
        const view = viewOf(again);
        encode(body, view, wire.IN_HEADER.size, decode(body, view, wire.IN_HEADER.size));
      }
      expect(Buffer.from(again).toString('hex')).toBe(Buffer.from(request).toString('hex'));
    }
  });

  it('is answered as it was, byte for byte', () => {
    let reply: Uint8Array = new Uint8Array(0);
    const session = makeSession((bytes, length) => {
      reply = bytes.slice(0, length);
    });
    const message = new Message();
    for (const exchange of recording) {
      reply = new Uint8Array(0);
      message.bytes.set(exchange.request);
      void session.handle(message, exchange.request.length);
      const shown = (bytes: Uint8Array): string =>
        `${opcodeOf(exchange)}: ${Buffer.from(bytes).toString('hex')}`;
      expect(shown(reply)).toBe(shown(exchange.reply));
    }
  });
});
