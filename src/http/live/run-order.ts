// Puts what is told of runs in order: numbers of a run are dense, so what is missing shows, and what was told is known again.
import { type HistoryEntry, type HistoryKey, instantOfId } from '../../reads/live-history.ts';

export interface RunOrder {
  /** What may be told now that this is known, in order; nothing where it was told before, or waits for what comes first. */
  offer(entry: HistoryEntry, nowMs: number): readonly HistoryEntry[];
  /** Whether it was told, or is here and waits. */
  isKnown(runId: string, seq: number): boolean;
  /** Counts it as told. */
  skip(runId: string, seq: number): void;
  /** Runs whose earlier entries are to be looked for: all below the number. */
  wanted(nowMs: number): HistoryKey[];
  /** What was found below the numbers of `wanted`: the whole of it. */
  fill(found: readonly HistoryEntry[]): readonly HistoryEntry[];
  /** What has waited for too long is told although something is missing, which is told late where it still comes. */
  expire(nowMs: number): readonly HistoryEntry[];
  readonly waiting: number;
}

export interface RunOrderOptions {
  /** Nothing from before is told. */
  startedMs: number;
  /** How long at most an entry waits for what comes before it. */
  holdMs: number;
  /** For how long at least a run is remembered. */
  memoryMs: number;
  /** Entries that wait, at most. */
  maxHeld: number;
}

/** After which a missing entry is looked for: mostly it is on its way. */
const lookAfterMs = 20;
const lookAgainMs = 200;
/** Ids carry the clock of the machine that made them, which may differ from the database's. */
const idSkewMs = 5_000;
const maxRemembered = 250_000;

interface Place {
  /** Everything to here was told, but for the holes. */
  last: number;
  holes?: { from: number; to: number }[];
}

interface Held {
  /** By number. */
  entries: HistoryEntry[];
  sinceMs: number;
  lookAtMs: number;
}

const nothing: readonly HistoryEntry[] = [];

export function firstSeq(entry: HistoryEntry): number {
  return entry.seq - entry.transitions.length + 1;
}

export function createRunOrder(options: RunOrderOptions): RunOrder {
  const { startedMs, holdMs, memoryMs, maxHeld } = options;
  // Two generations: what is not touched in the younger one's whole life is forgotten, at no cost per run.
  let recent = new Map<string, Place>();
  let older = new Map<string, Place>();
  let turnedAtMs = startedMs;
  let nowMs = startedMs;
  const waiting = new Map<string, Held>();
  let held = 0;

  function placeOf(runId: string): Place | undefined {
    const place = recent.get(runId);
    if (place) return place;
    const former = older.get(runId);
    if (former) recent.set(runId, former);
    return former;
  }

  function turn(): void {
    if (nowMs - turnedAtMs < memoryMs && recent.size < maxRemembered) return;
    older = recent;
    recent = new Map();
    turnedAtMs = nowMs;
  }

  /** What is older was told before, or is not to be. */
  function floorMs(): number {
    return Math.max(startedMs, nowMs - memoryMs);
  }

  function follows(entry: HistoryEntry, place: Place | undefined): boolean {
    const first = firstSeq(entry);
    if (place) return first <= place.last + 1;
    return first === 1 || (first === 2 && instantOfId(entry.runId) < floorMs() - idSkewMs);
  }

  /** Tells entries that follow each other, and then what waited for them. */
  function tell(runId: string, entries: readonly HistoryEntry[]): readonly HistoryEntry[] {
    const place = placeOf(runId) ?? { last: 0 };
    for (const entry of entries) place.last = Math.max(place.last, entry.seq);
    recent.set(runId, place);
    const later = waiting.get(runId);
    if (!later) return entries;
    const told = [...entries];
    while (later.entries[0] && firstSeq(later.entries[0]) <= place.last + 1) {
      const entry = later.entries.shift() as HistoryEntry;
      held -= 1;
      if (entry.seq <= place.last) continue;
      place.last = entry.seq;
      told.push(entry);
    }
    if (later.entries.length === 0) waiting.delete(runId);
    return told;
  }

  function hold(entry: HistoryEntry): readonly HistoryEntry[] {
    const { runId, seq } = entry;
    let later = waiting.get(runId);
    if (!later) {
      later = { entries: [], sinceMs: nowMs, lookAtMs: nowMs + lookAfterMs };
      waiting.set(runId, later);
    }
    if (later.entries.some((one) => one.seq === seq)) return nothing;
    later.entries.push(entry);
    later.entries.sort((a, b) => a.seq - b.seq);
    held += 1;
    const [oldest] = waiting;
    return held > maxHeld && oldest ? giveUp(oldest[0], oldest[1]) : nothing;
  }

  function giveUp(runId: string, later: Held): readonly HistoryEntry[] {
    waiting.delete(runId);
    held -= later.entries.length;
    const place = placeOf(runId) ?? { last: 0 };
    place.holes ??= [];
    for (const entry of later.entries) {
      const first = firstSeq(entry);
      if (first > place.last + 1) place.holes.push({ from: place.last + 1, to: first - 1 });
      place.last = Math.max(place.last, entry.seq);
    }
    recent.set(runId, place);
    return later.entries;
  }

  /** A hole is filled by whole entries. */
  function closeHole(place: Place, entry: HistoryEntry): boolean {
    const first = firstSeq(entry);
    const hole = place.holes?.find(({ from, to }) => from <= first && entry.seq <= to);
    if (!hole) return false;
    const rest = [
      { from: hole.from, to: first - 1 },
      { from: entry.seq + 1, to: hole.to },
    ].filter(({ from, to }) => from <= to);
    place.holes = [...(place.holes ?? []).filter((one) => one !== hole), ...rest];
    return true;
  }

  /** The entries between what was told and the first that waits; undefined where one of them is not there. */
  function chainBelow(runId: string, below: number, found: ReadonlyMap<number, HistoryEntry>) {
    const known = placeOf(runId)?.last;
    const chain: HistoryEntry[] = [];
    for (let expected = below - 1; expected > (known ?? 0); ) {
      const entry = found.get(expected);
      if (!entry) return undefined;
      if (known === undefined && entry.at < floorMs()) break;
      chain.unshift(entry);
      expected = firstSeq(entry) - 1;
    }
    return chain;
  }

  return {
    get waiting() {
      return held;
    },
    offer(entry, now) {
      nowMs = Math.max(nowMs, now);
      turn();
      const place = placeOf(entry.runId);
      if (place && entry.seq <= place.last) return closeHole(place, entry) ? [entry] : nothing;
      return follows(entry, place) ? tell(entry.runId, [entry]) : hold(entry);
    },
    isKnown(runId, seq) {
      const place = placeOf(runId);
      if (place && seq <= place.last) return !place.holes?.some(({ from, to }) => from <= seq && seq <= to);
      return waiting.get(runId)?.entries.some((one) => one.seq === seq) ?? false;
    },
    skip(runId, seq) {
      const place = placeOf(runId) ?? { last: 0 };
      place.last = Math.max(place.last, seq);
      recent.set(runId, place);
    },
    wanted(now) {
      nowMs = Math.max(nowMs, now);
      const keys: HistoryKey[] = [];
      for (const [runId, later] of waiting) {
        if (later.lookAtMs > nowMs) continue;
        later.lookAtMs = nowMs + lookAgainMs;
        keys.push({ runId, seq: firstSeq(later.entries[0] as HistoryEntry) });
      }
      return keys;
    },
    fill(found) {
      const byRun = new Map<string, Map<number, HistoryEntry>>();
      for (const entry of found) {
        const entries = byRun.get(entry.runId) ?? new Map<number, HistoryEntry>();
        byRun.set(entry.runId, entries.set(entry.seq, entry));
      }
      const told: HistoryEntry[] = [];
      for (const [runId, entries] of byRun) {
        const first = waiting.get(runId)?.entries[0];
        if (!first) continue;
        const below = firstSeq(first);
        const chain = chainBelow(runId, below, entries);
        if (!chain) continue;
        const place = placeOf(runId) ?? { last: 0 };
        recent.set(runId, place);
        place.last = Math.max(place.last, below - 1);
        told.push(...tell(runId, chain));
      }
      return told;
    },
    expire(now) {
      nowMs = Math.max(nowMs, now);
      const told: HistoryEntry[] = [];
      for (const [runId, later] of waiting) {
        if (nowMs - later.sinceMs >= holdMs) told.push(...giveUp(runId, later));
      }
      return told;
    },
  };
}
