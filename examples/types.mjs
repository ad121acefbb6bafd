/**
 * Lets Node 20 run TypeScript: `node --import ./examples/types.mjs examples/.../main.ts`.
 *
 * Types are taken out, nothing is checked. Newer versions of Node do this by themselves, from
 * 22.18 on.
 */
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import ts from 'typescript';

// Node loads the hooks below on a thread of their own, from this same file.
if (isMainThread) register(import.meta.url);

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const text = await readFile(new URL(url), 'utf8');
  const { outputText: source } = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  return { format: 'module', source, shortCircuit: true };
}
