import { describe, expect, it } from 'vitest';
import { errorCode } from '../base/index.ts';
import {
  type Acl,
  aclWithMode,
  decodeAcl,
  encodeAcl,
  inheritedAcl,
  isPlain,
  modeOfAcl,
} from './acl.ts';

const NOBODY = 0xffffffff;
const entry = (tag: number, permissions: number, id = NOBODY): Acl[number] => ({
  tag,
  permissions,
  id,
});

const PLAIN: Acl = [entry(1, 7), entry(4, 5), entry(32, 4)];
/** With a user of its own, and so with a mask. */
const RICH: Acl = [entry(1, 6), entry(2, 7, 1000), entry(4, 7), entry(16, 5), entry(32, 0)];

describe('decodeAcl()', () => {
  it('reads what encodeAcl() has written', () => {
    for (const acl of [PLAIN, RICH]) expect(decodeAcl(encodeAcl(acl))).toEqual(acl);
    expect([isPlain(PLAIN), isPlain(RICH)]).toEqual([true, false]);
  });

  it('refuses what is none', () => {
    const whole = encodeAcl(RICH);
    const newer = whole.slice();
    newer[0] = 3;
    const wrong = [
      new Uint8Array(0),
      whole.subarray(0, 4),
      whole.subarray(0, whole.length - 1),
      newer,
      encodeAcl(RICH.slice(1)),
    ];
    for (const bytes of wrong) {
      let code: unknown;
      try {
        decodeAcl(bytes);
      } catch (error) {
        code = errorCode(error);
      }
      expect(code).toBe('EINVAL');
    }
  });
});

describe('a mode and a list', () => {
  it('show the same: the group bits are the mask, if there is one', () => {
    expect(modeOfAcl(0o4000, PLAIN)).toBe(0o4754);
    expect(modeOfAcl(0o1777, RICH)).toBe(0o1650);
  });

  it('follow each other', () => {
    const changed = aclWithMode(RICH, 0o731);
    expect(modeOfAcl(0, changed)).toBe(0o731);
    expect(changed[2]).toEqual(RICH[2]);
    expect(modeOfAcl(0, aclWithMode(PLAIN, 0o27))).toBe(0o27);
  });

  it('of what is made allow no more than was asked for, and no more than the default', () => {
    expect(modeOfAcl(0, inheritedAcl(RICH, 0o640))).toBe(0o640);
    expect(modeOfAcl(0, inheritedAcl(RICH, 0o777))).toBe(0o650);
    expect(inheritedAcl(RICH, 0o700)[1]).toEqual(RICH[1]);
  });
});
