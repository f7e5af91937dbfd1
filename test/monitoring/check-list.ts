// What was checked and how it went: a line each as it happens, and the closing line.
import picocolors from 'picocolors';
import { closingLine } from '../support/closing-line.ts';

export interface CheckList {
  /** Passes where `work` returns; what it returns is shown beside the name. */
  check(name: string, work: () => Promise<string> | string): Promise<void>;
  skip(name: string, reason: string): void;
  readonly failed: number;
  closing(): string;
}

export function createCheckList(write: (line: string) => void): CheckList {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  const line = (mark: string, name: string, about: string) => write(`${mark} ${name.padEnd(58)} ${about}`);
  return {
    async check(name, work) {
      try {
        const about = await work();
        tally.passed += 1;
        line(picocolors.green('passed '), name, about);
      } catch (error) {
        tally.failed += 1;
        line(picocolors.red('FAILED '), name, error instanceof Error ? error.message : String(error));
      }
    },
    skip(name, reason) {
      tally.skipped += 1;
      line(picocolors.yellow('SKIPPED'), name, reason);
    },
    get failed() {
      return tally.failed;
    },
    closing: () => closingLine(tally),
  };
}
