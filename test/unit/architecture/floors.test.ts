// The rules of the house, enforced; and proof that the check sees what breaks them.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { checkFloors } from './check-floors.ts';

const fixture = (name: string): string => join(packageRoot, 'test/fixtures/floors', name);

describe('this program', () => {
  it('keeps to its floors and rules', async () => {
    const { modules, violations } = await checkFloors(packageRoot);
    expect(violations).toEqual([]);
    expect(modules).toBeGreaterThan(100);
  }, 60_000);
});

describe('the check itself', () => {
  it('passes a tree that keeps the rules', async () => {
    expect(await checkFloors(fixture('good'))).toEqual({ modules: 5, violations: [] });
  });

  it('finds every broken rule of a bad tree, and nothing else', async () => {
    const { violations } = await checkFloors(fixture('bad'));
    expect(violations).toEqual(
      [
        'plugins/git/index.ts: imports src/domain/cron/first-matcher.ts; a plugin imports cronwright/plugin, built-ins, packages and its own folder',
        'plugins/http/index.ts: imports plugins/git/index.ts; a plugin imports cronwright/plugin, built-ins, packages and its own folder',
        'src/attic/dust.ts: its folder is on no floor',
        'src/base/type-only.ts: imports up, floor 0 → 1: src/domain/lonely.ts',
        'src/config/settings.ts:2: new Date(): time is a parameter, see base/clock.ts',
        'src/config/settings.ts:4: Date.now: time is a parameter, see base/clock.ts',
        'src/config/settings.ts:5: Date(): time is a parameter, see base/clock.ts',
        'src/config/settings.ts:6: process.env: only src/main.ts reads the environment or exits',
        'src/config/settings.ts:7: process.exit: only src/main.ts reads the environment or exits',
        'src/db/sideways.ts: imports sideways, floor 2 → 2: src/config/settings.ts',
        'src/domain/cron/second-matcher.ts: imports croner, as src/domain/cron/first-matcher.ts does',
        'src/domain/upward.ts: imports up, floor 1 → 2: src/db/sideways.ts',
        'src/queue/counts.ts: imports prom-client, as src/observe/metrics.ts does',
        'src/queue/nowhere.ts: imports cronwright/plugin, which is for plugins',
        'src/queue/nowhere.ts: imports test/support.ts, which is not part of the program',
        'src/store/camelCase.ts: is not named in kebab-case',
        'src/store/cycle-a.ts: is in a cycle of imports with src/store/cycle-b.ts',
        'src/store/cycle-b.ts: is in a cycle of imports with src/store/cycle-a.ts',
        'src/store/knows-plugin.ts: imports plugins/git/index.ts; only src/steps/built-in-plugins.ts knows plugins',
        'src/store/long-winded.ts: does not open with a one-line sentence',
        'src/store/silent.ts: does not open with a one-line sentence',
        'src/store/string-utils.ts: has a name that says nothing',
      ].sort(),
    );
  });

  it('fails where it sees no module', async () => {
    await expect(checkFloors(fixture('empty'))).rejects.toThrow('saw no module');
  });
});
