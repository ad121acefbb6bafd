/** Controls: a scenario that is sound with its guard, and comes to harm without it. */
import { expect, it } from 'vitest';
import type { Rig } from './rig.ts';
import type { ToyFile } from './toy-filesystem.ts';

export type TakeAway = (rig: Rig, file: ToyFile) => void;

/** `takeAway` is called when everything is as it is before the story begins. */
type Scenario = (takeAway: TakeAway) => Promise<void>;

/** A scenario that is sound with its guard and comes to harm without it. */
export function control(title: string, scenario: Scenario, takeAway: TakeAway, harm: RegExp): void {
  it(`control: ${title}`, async () => {
    await scenario(() => {});
    await expect(scenario(takeAway)).rejects.toThrow(harm);
  });
}
