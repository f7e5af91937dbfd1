// The examples with a model that fails often, as `npm run examples -- --faults` runs them.
import { execFile } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';

/** Those that ask a model: all but tenant-backup. */
const examples = ['db-docs', 'repo-docs', 'task-prompts', 'worksheet'];

describe('the examples, asking a model that answers 10 % with 429 and 5 % with 503 and cuts 2 % of its streams', () => {
  it('all complete, and the ledger has the tokens that were charged', async () => {
    const { code, out } = await new Promise<{ code: number; out: string }>((done) => {
      const args = ['--import', import.meta.resolve('tsx'), 'examples/run.ts', ...examples, '--faults'];
      execFile(process.execPath, args, { cwd: packageRoot, encoding: 'utf8' }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code ?? -1), out: stdout + stderr });
      });
    });
    expect(out).not.toContain('FAILED');
    const totals = /ledger: (\d+ \+ \d+) tokens; the stub charged (\d+ \+ \d+) in \d+ calls, (\d+) of them/.exec(out);
    expect(totals?.[1]).toBe(totals?.[2]);
    expect(Number(totals?.[3])).toBeGreaterThan(0);
    expect(code, out).toBe(0);
    for (const name of examples) {
      // Where a program is missing, the example says which, and is left out.
      expect(out).toMatch(new RegExp(`^${name}(: left out; .*install|  )`, 'm'));
    }
  }, 600_000);
});
