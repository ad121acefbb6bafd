/** Questions to whoever sits at the terminal. */
import type { Terminal } from './terminal.ts';

/** Asks for a yes. Without anybody to ask the answer is no. */
export async function confirm(terminal: Terminal, question: string): Promise<boolean> {
  if (!terminal.interactive) return false;
  // Loaded only here: most runs ask nothing.
  const prompts = await import('@clack/prompts');
  const answer = await prompts.confirm({
    message: question,
    initialValue: false,
    input: terminal.stdin,
    output: terminal.stderr,
    signal: terminal.signal,
  });
  return answer === true;
}
