/**
 * Locators: places that calls of a volume are about, and how their errors tell of them.
 */
import type { FileArgument } from './calls/whole-files.ts';
import type { CallSite } from './errors.ts';
import { type PathArgument, pathText } from './path.ts';

/** A place in the live volume, or in one of its snapshots. */
export type Locator =
  | PathArgument
  | { readonly snapshot: string; readonly path?: PathArgument | undefined };

/** How a locator is shown in messages. */
export function locatorText(locator: Locator): string | undefined {
  if (typeof locator !== 'object' || !('snapshot' in locator)) return pathText(locator);
  return `@${locator.snapshot}:${pathText(locator.path ?? '/') ?? ''}`;
}

export function fileSite(syscall: string, file: FileArgument, other?: FileArgument): CallSite {
  return { syscall, path: fileText(file), dest: other === undefined ? undefined : fileText(other) };
}

/** An open file has no path to tell. */
function fileText(file: FileArgument): string | undefined {
  const open = typeof file === 'number' || (typeof file === 'object' && 'fd' in file);
  return open ? undefined : pathText(file);
}

export function diffSite(left: Locator, right: Locator): CallSite {
  return { syscall: 'diff', path: locatorText(left), dest: locatorText(right) };
}

export function cloneSite(source: Locator, destination: PathArgument): CallSite {
  return { syscall: 'clone', path: locatorText(source), dest: pathText(destination) };
}
