// docs/LIVE.md names what the program tells: all of it, and nothing else.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../../src/base/package-root.ts';
import { alertNames } from '../../../../src/http/live/alerts.ts';
import { historyEventNames } from '../../../../src/http/live/event-names.ts';
import { liveEventView } from '../../../../src/http/live/live-event.ts';
import { liveQuery } from '../../../../src/http/live/live-filter.ts';

const document = readFileSync(join(packageRoot, 'docs/LIVE.md'), 'utf8');

function section(title: string): string {
  const from = document.indexOf(`\n## ${title}\n`);
  if (from < 0) throw new Error(`docs/LIVE.md has no section "${title}"`);
  const to = document.indexOf('\n## ', from + 1);
  return document.slice(from, to < 0 ? undefined : to);
}

/** The cells of the first and second columns of a section's tables, without heads. */
function rows(text: string): [string, string][] {
  const cells = text
    .split('\n')
    .flatMap((line) => (line.startsWith('| ') ? [line.split('|').map((cell) => cell.trim())] : []));
  return cells.map(([, first = '', second = '']) => [first, second] as [string, string]);
}

const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].flatMap(([, name]) => name ?? []);
const isName = (text: string) => /^(run|step|item|wait|budget|alert)\.[a-z_.…]+$/.test(text);

/** Names of transitions in the source: given to `noteStep` and `noteTransition`, or written by statements. */
function namesInSource(): Set<string> {
  const files = ['src/worker', 'src/queue', 'src/control', 'src/schedule', 'src/reads'].flatMap((folder) =>
    readdirSync(join(packageRoot, folder)).map((name) => readFileSync(join(packageRoot, folder, name), 'utf8')),
  );
  const names = new Set<string>();
  for (const text of files) {
    for (const [, name] of text.matchAll(
      /(?:event(?:: | = )|'event',\s+|by === 'cancelled' \? |then |else |: )'((?:run|step|item|wait|budget)\.[a-z_]+)'/g,
    )) {
      names.add(name as string);
    }
  }
  // Built from states: `run.${state}` of an end, `item.${state}` of an item.
  for (const state of ['completed', 'failed', 'cancelled', 'rolled_back']) names.add(`run.${state}`);
  for (const state of ['completed', 'failed', 'skipped', 'waiting']) names.add(`item.${state}`);
  return names;
}

describe('docs/LIVE.md', () => {
  const [history = '', alerts = ''] = section('Names').split('\nAlerts ');

  it('lists every name that history has', () => {
    const listed = rows(history).flatMap(([first]) => quoted(first).filter(isName));
    expect(listed.filter((name) => name !== 'step.event.…').sort()).toEqual([...namesInSource()].sort());
    expect(listed).toContain('step.event.…');
  });

  it('has the names that filters know', () => {
    expect([...historyEventNames].sort()).toEqual([...namesInSource()].sort());
  });

  it('lists every alert', () => {
    expect(rows(alerts).flatMap(([first]) => quoted(first))).toEqual([...alertNames]);
  });

  it('lists every field of the envelope and every parameter', () => {
    const fields = rows(section('The envelope')).flatMap(([first]) => quoted(first));
    expect(fields.sort()).toEqual(Object.keys(liveEventView.shape).sort());
    const parameters = rows(section('Connecting')).flatMap(([first]) => quoted(first));
    expect(parameters.sort()).toEqual(Object.keys(liveQuery.shape).sort());
  });

  it('maps every older name to names that there are, or says that it is not there yet', () => {
    const told = ['step.event.subtask_generated', 'step.event.checkpoint_created'];
    const known = new Set([...namesInSource(), ...alertNames, 'alert.', ...told]);
    const mapping = rows(section('Names of older systems')).filter(([first]) => first.startsWith('`'));
    expect(mapping.flatMap(([first]) => quoted(first))).toEqual([
      ...['STARTED', 'COMPLETED', 'FAILED', 'PAUSED', 'RESUMED'].map((word) => `PIPELINE_${word}`),
      ...['STARTED', 'COMPLETED', 'FAILED'].map((word) => `PHASE_${word}`),
      ...['SUBTASK_GENERATED', 'ERROR_OCCURRED', 'CHECKPOINT_CREATED', 'progress', 'job-completed', 'job-failed'],
    ]);
    for (const [older, here] of mapping) {
      const names = quoted(here).filter(isName);
      expect(
        names.filter((name) => !known.has(name)),
        older,
      ).toEqual([]);
      expect(names.length > 0 || here.startsWith('not yet'), older).toBe(true);
    }
  });
});
