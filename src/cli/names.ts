/**
 * Names: as the command carries them, shows them and prints them.
 *
 * A name is any bytes but `/` and NUL. Here it is a *binary string*, one character a byte, which is
 * what Node calls latin1: nothing is lost on the way from one tree to the other. Only what people
 * read is decoded.
 */

/** The binary string of text from the command line. */
export function binaryOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A path as both `node:fs` and a volume take it: text where that is the same, else bytes. */
export function pathOf(binary: string): string | Buffer {
  return isAscii(binary) ? binary : Buffer.from(binary, 'latin1');
}

/** Text for people and JSON; what is no UTF-8 becomes U+FFFD. */
export function textOf(binary: string): string {
  return isAscii(binary) ? binary : Buffer.from(binary, 'latin1').toString('utf8');
}

/** A path below a directory. */
export function join(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

/** The name that a path ends with; empty for the root. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/u, '');
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** A name on a line of its own that cannot be mistaken: control characters as `\n`, `\x1b`. */
export function shownName(binary: string): string {
  const text = textOf(binary);
  if (!text.includes('\ufffd')) return escapeControls(text);
  return escapeControls(binary).replace(/[\x80-\xff]/gu, hexEscape);
}

/** Text without control characters, which could move the cursor or break a line in two. */
export function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return hexEscape(character);
  });
}

/**
 * A name in JSON: its text, and its bytes in hex where the text does not say what they are.
 */
export function jsonName(binary: string): { path: string; bytes?: string } {
  const text = textOf(binary);
  if (binaryOf(text) === binary) return { path: text };
  return { path: text, bytes: Buffer.from(binary, 'latin1').toString('hex') };
}

function hexEscape(character: string): string {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
