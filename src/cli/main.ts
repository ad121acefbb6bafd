#!/usr/bin/env node
/**
 * cli: the command `ramet`.
 *
 * Each command is one file of this room; this one puts them together.
 */
import { Command } from 'commander';
import manifest from '../../package.json' with { type: 'json' };

await new Command('ramet')
  .description('A copy-on-write filesystem in one image file')
  .version(manifest.version)
  .parseAsync();
