// The ids of a run's own spans come from the run's id, so that every node and every claim knows them without asking.
import { createHash } from 'node:crypto';

export interface SpanIds {
  traceId: string;
  spanId: string;
}

/** The trace is the run: its UUID without dashes. The span is that of one claim, told apart by the fencing token. */
export function claimIds(runId: string, token: number): SpanIds {
  const digest = createHash('sha256').update(`${runId}/${token}`).digest('hex');
  return { traceId: runId.replaceAll('-', ''), spanId: digest.slice(0, 16) };
}

/** What an SDK asks for ids. */
interface IdGenerator {
  generateTraceId(): string;
  generateSpanId(): string;
}

let given: SpanIds | undefined;

/** The span that `start` starts, synchronously and without a parent, gets these ids. */
export function withIds<T>(ids: SpanIds, start: () => T): T {
  given = ids;
  try {
    return start();
  } finally {
    given = undefined;
  }
}

/** For the SDK: the ids given to `withIds`, and random ones for all other spans. */
export function createIdGenerator(random: IdGenerator): IdGenerator {
  return {
    generateTraceId: () => given?.traceId ?? random.generateTraceId(),
    generateSpanId: () => given?.spanId ?? random.generateSpanId(),
  };
}
