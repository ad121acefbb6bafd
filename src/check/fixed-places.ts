/**
 * Fixed places: superblocks, the group index and count tables of a volume that is in use.
 *
 * Commits write there, and a scrub that reads at the same time may see half of it. So what looks
 * wrong counts only if no commit was at work meanwhile.
 */
import type { Steps } from '../device/index.ts';
import { readGroupEntry } from '../format/index.ts';
import { entryFault, readCounts } from './counts.ts';
import { IssueList } from './report.ts';
import { type Root, RootFinder } from './roots.ts';
import type { Answer, Session } from './session.ts';

/** How often commits may come between before what was seen is taken for what it is. */
const TRIES = 16;

/**
 * The newest root, after every place was looked at; what is wrong is in the issues of the session.
 * `commits` answers another number with each commit that writes there, undefined while one does.
 */
export function* fixedPlaces(
  session: Session,
  commits: () => number | undefined,
): Answer<Root | undefined> {
  for (let tries = 1; ; tries++) {
    const before = commits();
    const issues = new IssueList(Number.MAX_SAFE_INTEGER);
    const finder = new RootFinder(session, issues);
    yield* finder.find();
    const { root } = finder;
    if (root !== undefined) yield* countTables(session, root, issues);
    const quiet = before !== undefined && before === commits();
    if (!quiet && tries < TRIES) continue;
    // With a root in hand, what commits made look wrong they have made right since.
    if (quiet || root === undefined) for (const issue of issues.issues) session.issues.take(issue);
    return root;
  }
}

function* countTables(session: Session, { superblock, index }: Root, issues: IssueList): Steps {
  for (let group = 0; group < superblock.geometry.groupCount; group++) {
    const entry = readGroupEntry(index, group);
    if (entry.txg === 0 || entryFault(superblock, group, entry) !== undefined) continue;
    const counts = yield* readCounts(session, superblock, group, entry);
    if (typeof counts === 'string') issues.add('counts-damaged', { group, finding: counts });
  }
}
