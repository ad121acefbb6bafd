/**
 * Report: what a check came to.
 */
import type { Superblock } from '../format/index.ts';
import { CATALOGUE, type FactsOf, type Issue, type IssueCode, makeIssue } from './catalogue.ts';

export type Verdict = 'clean' | 'warnings' | 'errors' | 'fatal';

/** Blocks of the volume by what uses them, each counted once however many slots name it. */
export interface BlockUse {
  fixed: number;
  data: number;
  map: number;
  directory: number;
  links: number;
  queue: number;
  /** Second copies of nodes. */
  copies: number;
  free: number;
}

/** What is stored, once: what clones share is counted in one of them. */
export interface CheckStatistics {
  readonly blocks: BlockUse;
  files: number;
  directories: number;
  symlinks: number;
  /** Devices, fifos and sockets. */
  specials: number;
  /** Names of inodes in link tables. */
  links: number;
  /** Sizes of all files together. */
  bytes: number;
  /** Bytes of blocks whose checksums were verified. */
  verified: number;
  /** By the clock that was given. */
  seconds: number;
}

export interface CheckReport {
  readonly verdict: Verdict;
  /** In the order in which they were found; of each code a limited number. */
  readonly issues: readonly Issue[];
  /** How many were found, of each code that was. */
  readonly found: ReadonlyMap<IssueCode, number>;
  /** The superblock that was checked, as a mount would choose it; undefined if there is none. */
  readonly superblock: Superblock | undefined;
  readonly statistics: CheckStatistics;
}

/** What fsck(8) would exit with: 0 no errors, 4 errors, 8 the check could not be done. */
export function exitStatus(report: CheckReport): 0 | 4 | 8 {
  if (report.verdict === 'fatal') return 8;
  return report.verdict === 'errors' ? 4 : 0;
}

export function newStatistics(): CheckStatistics {
  return {
    blocks: { fixed: 0, data: 0, map: 0, directory: 0, links: 0, queue: 0, copies: 0, free: 0 },
    files: 0,
    directories: 0,
    symlinks: 0,
    specials: 0,
    links: 0,
    bytes: 0,
    verified: 0,
    seconds: 0,
  };
}

/** Issues as they come: of each code the first few are kept and all are counted. */
export class IssueList {
  readonly issues: Issue[] = [];
  readonly found: Map<IssueCode, number> = new Map<IssueCode, number>();
  readonly #limit: number;

  /** `limit`: how many of each code are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add<Code extends IssueCode>(code: Code, facts: FactsOf<Code>): void {
    this.take(makeIssue(code, facts));
  }

  take(issue: Issue): void {
    const count = (this.found.get(issue.code) ?? 0) + 1;
    this.found.set(issue.code, count);
    if (count <= this.#limit) this.issues.push(issue);
  }

  get verdict(): Verdict {
    const severities = new Set([...this.found.keys()].map((code) => CATALOGUE[code].severity));
    if (severities.has('fatal')) return 'fatal';
    if (severities.has('error')) return 'errors';
    return severities.has('warning') ? 'warnings' : 'clean';
  }
}
