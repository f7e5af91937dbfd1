// The picture of a run's states is the table of the code.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { canTransition, type RunState, runStates } from '../../../src/domain/run.ts';
import { withStatesDiagram } from '../../support/states-diagram.ts';

const path = join(packageRoot, 'docs/ARCHITECTURE.md');

describe("the diagram of a run's states", () => {
  it('is what src/domain/run.ts says now (UPDATE_EXPECTED=1 writes it)', () => {
    const page = readFileSync(path, 'utf8');
    if (process.env.UPDATE_EXPECTED === '1') writeFileSync(path, withStatesDiagram(page));
    expect(readFileSync(path, 'utf8')).toBe(withStatesDiagram(page));
  });

  it('draws every way that the table allows, and no other', () => {
    const section = readFileSync(path, 'utf8').split("## A run's states")[1]?.split('\n## ')[0] ?? '';
    const drawn = [...section.matchAll(/^ {2}(\w+) --> (\w+)/gm)].map(([, from, to]) => `${from} ${to}`);
    const allowed = runStates.flatMap((from) =>
      runStates.filter((to: RunState) => canTransition(from, to)).map((to) => `${from} ${to}`),
    );
    expect(drawn.toSorted()).toEqual(allowed.toSorted());
  });
});
