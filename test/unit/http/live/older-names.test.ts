// The stream in older words: which names stand for what happened, in which order, once a phase.
import { describe, expect, it } from 'vitest';
import { alertEvent, eventsOf, type LiveEvent } from '../../../../src/http/live/live-event.ts';
import { olderNames } from '../../../../src/http/live/older-names.ts';
import { createOlderWords } from '../../../../src/http/live/older-words.ts';

const runId = '0190a000-0000-7000-8000-000000000001';

function eventOf(event: string, more: Record<string, unknown> = {}, isPart = false): LiveEvent {
  const transitions = [{ event, at: 0, ...more }];
  const entry = {
    runId,
    tenant: 'default',
    pipeline: 'p',
    schedule: null,
    seq: 2,
    node: null,
    at: 0,
    transitions,
    isPart,
  };
  return eventsOf(entry)[0] as LiveEvent;
}

function inOlderWords(...events: LiveEvent[]): string[] {
  const words = createOlderWords();
  return events.flatMap((event) => words({ event, cursor: 'c', frames: {} })).map(({ event }) => event.name);
}

describe('the stream in older words', () => {
  it('has all eleven names in a run that is paused, goes on and fails', () => {
    const said = inOlderWords(
      eventOf('run.claimed', { data: { token: 1 } }),
      eventOf('step.started', { step: 'a' }),
      eventOf('step.event.subtask_generated', { step: 'a' }),
      eventOf('step.completed', { step: 'a' }),
      eventOf('run.paused'),
      eventOf('run.resumed'),
      eventOf('step.started', { step: 'b' }),
      eventOf('step.failed', { step: 'b' }),
      eventOf('run.failed'),
      eventOf('run.completed'),
    );
    expect(said).toEqual([
      ...['PIPELINE_STARTED', 'PHASE_STARTED', 'SUBTASK_GENERATED', 'PHASE_COMPLETED', 'CHECKPOINT_CREATED'],
      ...['PIPELINE_PAUSED', 'PIPELINE_RESUMED', 'PHASE_STARTED', 'ERROR_OCCURRED', 'PHASE_FAILED'],
      ...['ERROR_OCCURRED', 'PIPELINE_FAILED', 'PIPELINE_COMPLETED'],
    ]);
    expect(new Set(said)).toEqual(new Set(olderNames));
  });

  it('begins a phase once, also where its step is tried again or its end is all there is', () => {
    const completed = eventOf('step.completed', { step: 'b' });
    expect(inOlderWords(completed)).toEqual(['PHASE_STARTED', 'PHASE_COMPLETED', 'CHECKPOINT_CREATED']);
    const tried = [eventOf('step.started', { step: 'a' }), eventOf('step.retried', { step: 'a' })];
    const again = [eventOf('step.started', { step: 'a', attempt: 2 }), eventOf('step.completed', { step: 'a' })];
    const once = ['PHASE_STARTED', 'ERROR_OCCURRED', 'PHASE_COMPLETED', 'CHECKPOINT_CREATED'];
    expect(inOlderWords(...tried, ...again)).toEqual(once);
  });

  it('begins a phase before what is told within it', () => {
    const told = ['step.event.subtask_generated', 'step.event.checkpoint_created', 'step.retried'];
    for (const name of [...told, 'item.completed', 'item.failed']) {
      const said = inOlderWords(eventOf(name, { step: 'a' }), eventOf('step.completed', { step: 'a' }));
      expect(
        said.filter((word) => word.startsWith('PHASE_')),
        name,
      ).toEqual(['PHASE_STARTED', 'PHASE_COMPLETED']);
      expect(said[0], name).toBe('PHASE_STARTED');
    }
  });

  it('starts a pipeline with the first claim only', () => {
    expect(inOlderWords(eventOf('run.claimed', { data: { token: 2 } }))).toEqual([]);
  });

  it('tells of a part of a run only what its step tells', () => {
    const part = (event: string, more = {}) => eventOf(event, { step: 'a', ...more }, true);
    expect(
      inOlderWords(
        part('run.claimed', { data: { token: 1 } }),
        part('step.started'),
        part('step.event.subtask_generated'),
        part('item.completed', { item: 0 }),
        part('step.completed'),
        part('run.completed'),
      ),
    ).toEqual(['SUBTASK_GENERATED', 'CHECKPOINT_CREATED']);
  });

  it('calls an alert an error', () => {
    expect(inOlderWords(alertEvent({ name: 'alert.run.stuck', atMs: 0, node: 'n' }))).toEqual(['ERROR_OCCURRED']);
  });

  it('is silent where there is no older name, and keeps ours beside an older one', () => {
    expect(inOlderWords(eventOf('run.enqueued'), eventOf('run.woken'))).toEqual([]);
    const [said] = createOlderWords()({ event: eventOf('run.paused', { actor: 'maria' }), cursor: 'c', frames: {} });
    const told = { event: 'PIPELINE_PAUSED', name: 'run.paused', actor: 'maria', run_id: runId };
    expect(JSON.parse(said?.event.json ?? '')).toMatchObject(told);
  });
});
