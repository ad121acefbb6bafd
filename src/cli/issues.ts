/**
 * Issues: what a check or a scrub has found, as people read it.
 */
import { describeIssue, type Issue } from '../check/index.ts';
import type { Paint } from './terminal.ts';

export function issueLine(issue: Issue, paint: Paint): string {
  const { severity, code } = issue;
  const colored = severity === 'warning' ? paint.yellow(severity) : paint.red(severity);
  return `${colored} ${code}: ${describeIssue(issue)}`;
}

/** Issues as JSON takes them. */
export function issuesJson(issues: readonly Issue[]): Record<string, unknown>[] {
  return issues.map((issue) => ({ ...issue, sentence: describeIssue(issue) }));
}
