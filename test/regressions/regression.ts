/**
 * Regression: a bug that another filesystem had, played here, and the guard that keeps it away.
 *
 * The body fails if the bug is there. Each control takes one guard away and plays the same body on
 * a rig of its own: it has to fail, and in the way that was foreseen. A body that still ends well
 * would prove nothing.
 */
import { describe, expect, it } from 'vitest';

/**
 * Replaces a property, a method mostly, until the control has ended. `make` is given the present
 * one, bound to its owner if it is a method of an instance.
 */
export type Patch = <Target extends object, Name extends keyof Target>(
  target: Target,
  name: Name,
  make: (present: Target[Name]) => Target[Name],
) => void;

interface Control<Rig> {
  /** Takes the guard away. */
  readonly takeAway: (rig: Rig, patch: Patch) => void;
  /** What the body says then. */
  readonly harm: RegExp;
}

interface Regression<Rig> {
  /** Everything as it is before the story begins. */
  readonly rig: () => Promise<Rig>;
  readonly body: (rig: Rig) => Promise<void>;
  /** By the name of the guard. */
  readonly controls: Readonly<Record<string, Control<Rig>>>;
}

/** A title begins with the number of the bug: `every.test.ts` looks for it. */
export function regression<Rig>(title: string, { rig, body, controls }: Regression<Rig>): void {
  if (Object.keys(controls).length === 0) throw new Error(`${title}: there is no control`);
  describe(title, () => {
    it('does not happen', async () => {
      await body(await rig());
    });

    it.each(Object.keys(controls))('control: it does without %s', async (name) => {
      const { takeAway, harm } = controls[name] as Control<Rig>;
      const broken = await rig();
      const undo: (() => void)[] = [];
      takeAway(broken, patching(undo));
      try {
        await expect(body(broken)).rejects.toThrow(harm);
      } finally {
        for (const back of undo.reverse()) back();
      }
    });
  });
}

function patching(undo: (() => void)[]): Patch {
  return (target, name, make) => {
    const own = Object.getOwnPropertyDescriptor(target, name);
    const present = target[name];
    const instance = typeof present === 'function' && !Object.hasOwn(target, 'constructor');
    target[name] = make(instance ? (present.bind(target) as typeof present) : present);
    undo.push(() => {
      if (own === undefined) delete target[name];
      else Object.defineProperty(target, name, own);
    });
  };
}
