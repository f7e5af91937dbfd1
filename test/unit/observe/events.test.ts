// The event bus: every listener hears every event, whatever the others do.
import { describe, expect, it } from 'vitest';
import { createEventBus } from '../../../src/observe/events.ts';

describe('event bus', () => {
  it('tells every listener in the order of subscription, at once', () => {
    const events = createEventBus();
    const heard: string[] = [];
    events.on('run.lease_lost', ({ runId }) => heard.push(`first ${runId}`));
    events.on('run.lease_lost', ({ runId }) => heard.push(`second ${runId}`));
    events.emit('run.lease_lost', { runId: 'r1', tenant: 'default' });
    expect(heard).toEqual(['first r1', 'second r1']);
  });

  it('reports a listener that throws and still tells the others', () => {
    const failures: unknown[] = [];
    const events = createEventBus((name, error) => failures.push([name, error]));
    const heard: string[] = [];
    const broken = new Error('broken listener');
    events.on('clock.jumped', () => {
      throw broken;
    });
    events.on('clock.jumped', () => heard.push('second'));
    events.emit('clock.jumped', { byMs: 1 });
    expect(heard).toEqual(['second']);
    expect(failures).toEqual([['clock.jumped', broken]]);
  });

  it('stops telling a listener that ended its subscription, also in the middle of an event', () => {
    const events = createEventBus();
    const heard: string[] = [];
    const end = events.on('clock.jumped', () => {
      heard.push('once');
      end();
    });
    events.emit('clock.jumped', { byMs: 1 });
    events.emit('clock.jumped', { byMs: 2 });
    end();
    expect(heard).toEqual(['once']);
  });

  it('does nothing for an event nobody listens to', () => {
    expect(() => createEventBus().emit('clock.jumped', { byMs: 1 })).not.toThrow();
  });
});
