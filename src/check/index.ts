/**
 * check: the offline verifier. Reads an image and tells whatever is wrong with it.
 * It knows the format and a device, and never asks the filesystem that it verifies.
 */
export {
  CATALOGUE,
  describeIssue,
  type FactsOf,
  type Issue,
  type IssueCode,
  type Severity,
} from './catalogue.ts';
export { check, checkSync } from './check.ts';
export {
  OnlineScrub,
  type ScrubHost,
  type ScrubProgress,
  type ScrubReport,
  type ScrubRequest,
} from './online-scrub.ts';
export { type RepairOptions, type RepairReport, repair, repairSync } from './repair.ts';
export {
  type BlockUse,
  type CheckReport,
  type CheckStatistics,
  exitStatus,
  type Verdict,
} from './report.ts';
export type { CheckOptions, CheckPhase, CheckProgress } from './session.ts';
