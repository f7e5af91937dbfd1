// The stream in the words of older systems.
import type { FramedEvent } from './frames.ts';
import type { LiveEvent } from './live-event.ts';
import type { OlderName } from './older-names.ts';

/** Phases under way that are remembered. */
const mostPhases = 10_000;

/**
 * Says each event in older words, once for all who want those: as none, one or more events. A step that tells something or is over
 * before anyone looked has no start of its own yet, so its phase gets one here.
 */
export function createOlderWords(): (framed: FramedEvent) => readonly FramedEvent[] {
  const said = new WeakMap<LiveEvent, readonly FramedEvent[]>();
  const underWay = new Set<string>();

  function namesFor({ runId, step, older = [] }: LiveEvent): OlderName[] {
    const phase = `${runId}/${step}`;
    return older.flatMap((name): OlderName[] => {
      if (name === 'PHASE_STARTED') return begin(phase) ? [name] : [];
      if (name !== 'PHASE_COMPLETED' && name !== 'PHASE_FAILED') return [name];
      return underWay.delete(phase) ? [name] : ['PHASE_STARTED', name];
    });
  }

  function begin(phase: string): boolean {
    if (underWay.has(phase)) return false;
    const [oldest] = underWay;
    if (underWay.size >= mostPhases && oldest !== undefined) underWay.delete(oldest);
    underWay.add(phase);
    return true;
  }

  return (framed) => {
    const { event, cursor } = framed;
    const known = said.get(event);
    if (known) return known;
    const words = namesFor(event).map((name) => ({ event: renamed(event, name), cursor, frames: {} }));
    said.set(event, words);
    return words;
  };
}

function renamed(event: LiveEvent, name: OlderName): LiveEvent {
  const told = JSON.parse(event.json) as Record<string, unknown>;
  return { ...event, name, json: JSON.stringify({ ...told, event: name, name: event.name }) };
}
