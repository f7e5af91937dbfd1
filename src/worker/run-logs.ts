// Gathers the log lines of this node's runs and appends them together, a few times a second.
import type { Clock } from '../base/clock.ts';
import type { Service } from '../base/service.ts';
import type { Queryable } from '../db/database.ts';
import { outsideTraces } from '../observe/tracer.ts';
import { appendLogs, type LogChunk, type StoredLogLine } from '../store/append-logs.ts';

import { isRefused } from './checkpoint-writer.ts';

/** Whose log a line belongs to. */
export interface LogOwner {
  runId: string;
  tenant: string;
  token: number;
}

export interface RunLogs extends Service {
  append(owner: LogOwner, line: StoredLogLine): void;
  /** A line of the engine's own. */
  say(
    owner: LogOwner,
    level: StoredLogLine['level'],
    text: string,
    about?: { step?: string; item?: number; attempt?: number },
  ): void;
  /** Returns when the claim's lines so far are durable, or have to wait for a database that is away. */
  flush(owner: LogOwner): Promise<void>;
  /** The claim is over: forgets its numbering. */
  forget(owner: LogOwner): void;
}

/** Characters of text that may wait for the database before lines are dropped. */
const maxWaitingCharacters = 16 * 1_048_576;
const flushEveryMs = 200;
const retryEveryMs = 1_000;
const maxLinesPerChunk = 1_000;

interface RunBuffer {
  owner: LogOwner;
  lines: StoredLogLine[];
  seq: number;
  /** Characters of all lines so far. */
  total: number;
  isFull: boolean;
  dropped: number;
  isOver: boolean;
}

export function createRunLogs(options: {
  db: Queryable;
  clock: Clock;
  /** Characters that one claim of a run may log; what comes after is dropped, and said so. */
  maxPerRun: number;
  onError: (error: unknown) => void;
}): RunLogs {
  const buffers = new Map<string, RunBuffer>();
  let waitingCharacters = 0;
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();
  /** Chunks that the database has not taken yet. */
  let unsent: LogChunk[] = [];
  let isStopped = false;

  function append(owner: LogOwner, line: StoredLogLine): void {
    let buffer = buffers.get(keyOf(owner));
    if (!buffer) {
      buffer = { owner, lines: [], seq: 0, total: 0, isFull: false, dropped: 0, isOver: false };
      buffers.set(keyOf(owner), buffer);
    }
    buffer.total += line.text.length;
    if (buffer.total > options.maxPerRun) {
      if (!buffer.isFull) buffer.lines.push(fullLine(options.maxPerRun, options.clock));
      buffer.isFull = true;
      timer ??= timerFor(flushEveryMs);
      return;
    }
    if (waitingCharacters + line.text.length > maxWaitingCharacters) {
      buffer.dropped += 1;
      return;
    }
    buffer.lines.push(line);
    waitingCharacters += line.text.length;
    timer ??= timerFor(flushEveryMs);
  }

  /** The flush is everybody's, and no part of the step that logged first. */
  function timerFor(ms: number): NodeJS.Timeout {
    return outsideTraces(() => setTimeout(flushSoon, ms));
  }

  function flushSoon(): void {
    timer = undefined;
    void flushAll();
  }

  function takeChunks(): LogChunk[] {
    const chunks: LogChunk[] = [];
    for (const buffer of buffers.values()) {
      if (buffer.dropped > 0) buffer.lines.push(droppedLine(buffer.dropped, options.clock));
      buffer.dropped = 0;
      for (let from = 0; from < buffer.lines.length; from += maxLinesPerChunk) {
        buffer.seq += 1;
        chunks.push({ ...buffer.owner, seq: buffer.seq, lines: buffer.lines.slice(from, from + maxLinesPerChunk) });
      }
      buffer.lines = [];
      if (buffer.isOver) buffers.delete(keyOf(buffer.owner));
    }
    return chunks;
  }

  function flushAll(): Promise<void> {
    // One after the other, so that a chunk is never overtaken by the next.
    flushing = flushing.then(async () => {
      const chunks = [...unsent, ...takeChunks()];
      if (chunks.length === 0) return;
      try {
        await appendLogs(options.db, chunks);
        unsent = [];
      } catch (error) {
        options.onError(error);
        // The bound on what waits holds for these too. What the database will not store is given up.
        unsent = isRefused(error) ? [] : chunks;
        if (unsent.length > 0 && !isStopped) timer ??= timerFor(retryEveryMs);
      }
      waitingCharacters = [...unsent, ...buffers.values()].reduce((sum, { lines }) => sum + charactersOf(lines), 0);
    });
    return flushing;
  }

  return {
    name: 'run-logs',
    append,
    say(owner, level, text, about = {}) {
      append(owner, { at: Math.round(options.clock.now()), level, stream: 'log', step: null, text, ...about });
    },
    async flush(owner) {
      const buffer = buffers.get(keyOf(owner));
      if (buffer && (buffer.lines.length > 0 || buffer.dropped > 0)) await flushAll();
      else if (buffer) await flushing;
    },
    forget(owner) {
      const buffer = buffers.get(keyOf(owner));
      if (!buffer) return;
      buffer.isOver = true;
      if (buffer.lines.length === 0 && buffer.dropped === 0) buffers.delete(keyOf(owner));
    },
    async start() {},
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      timer = undefined;
      await flushAll();
    },
  };
}

function keyOf(owner: LogOwner): string {
  return `${owner.runId}/${owner.token}`;
}

function charactersOf(lines: readonly StoredLogLine[]): number {
  return lines.reduce((sum, line) => sum + line.text.length, 0);
}

function fullLine(max: number, clock: Clock): StoredLogLine {
  const text = `the log of this run is full: what comes after ${max} characters is dropped (limits.logs_per_run)`;
  return { at: Math.round(clock.now()), level: 'warn', stream: 'log', step: null, text };
}

function droppedLine(count: number, clock: Clock): StoredLogLine {
  const text = `${count} lines were dropped: the database could not take them fast enough`;
  return { at: Math.round(clock.now()), level: 'warn', stream: 'log', step: null, text };
}
