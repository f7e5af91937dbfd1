// /events and /ws: what happens, while it happens.
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { z } from 'zod';
import { CronwrightError } from '../../domain/errors.ts';
import { packLiveCursor, unpackLiveCursor } from '../../reads/live-cursor.ts';
import { readCaller } from '../caller.ts';
import { checkInput, fieldsOf } from '../check-input.ts';
import { encodeSse, sseText } from '../live/frames.ts';
import { liveEventView } from '../live/live-event.ts';
import { type LiveQuery, liveQuery, readFilter } from '../live/live-filter.ts';
import type { LiveHub } from '../live/live-hub.ts';
import { openSse } from '../live/sse-connection.ts';
import { problemResponse, upgradeRequired } from '../problem.ts';
import { textResponse } from '../response.ts';
import type { Route } from '../route.ts';
import { tags } from './fields.ts';

const resumeHeaders = z.object({
  'Last-Event-ID': z.string().max(500).optional().describe('go on after this event; wins over last_event_id'),
});

/** How soon a browser connects again. */
const retryMs = 2_000;

export const eventStream: Route = {
  method: 'GET',
  path: '/api/v1/events',
  operationId: 'streamEvents',
  summary: 'What happens to runs, as server-sent events; resumable by Last-Event-ID',
  tag: tags.live,
  headers: resumeHeaders,
  query: liveQuery,
  answer: {
    status: 200,
    description: 'a stream without end: `event` is the name, `id` the cursor, `data` this as JSON',
    schema: liveEventView,
    contentType: 'text/event-stream',
  },
  problems: ['unavailable'],
  async serve({ context, live }, { incoming, outgoing, query: given }) {
    const caller = readCaller(incoming.headers);
    const query = checkInput(liveQuery, fieldsOf(given), 'query');
    const filter = readFilter(query, caller.tenant);
    const { fromMs, cursor } = readStart(query, live, 'query', incoming.headers['last-event-id']);
    // An EventSource that is answered 503 never tries again; one whose connection breaks does.
    if (live.isStopped) {
      outgoing.destroy();
      return RESPONSE_ALREADY_SENT;
    }
    live.requireRoom();
    const { headers } = textResponse(null, 'text/event-stream; charset=utf-8', 200, unbuffered);
    if (incoming.method === 'HEAD') return new Response(null, { headers });
    const connection = openSse(outgoing, Object.fromEntries(headers), context.events);
    const hello = JSON.stringify({ node: live.node, heartbeat_ms: live.heartbeatMs });
    connection.write(encodeSse(`retry: ${retryMs}\n${sseText('hello', cursor, hello)}`, connection.encoding));
    live.add(connection);
    live.subscribe(connection, filter, fromMs);
    return RESPONSE_ALREADY_SENT;
  },
};

/** Proxies that collect answers before they pass them on would hold back every event. */
const unbuffered = { 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' };

const socketMessage = z
  .looseObject({
    type: z.enum(['hello', 'event', 'subscribed', 'unsubscribed', 'pong', 'error']),
    id: z.string().nullable().optional().describe('the cursor, to go on with as last_event_id'),
    event: liveEventView.optional(),
  })
  .meta({ id: 'LiveMessage' });

/** Only asked without an upgrade; those with one are answered by `serveUpgrades`. */
export const socketUpgrade: Route = {
  method: 'GET',
  path: '/api/v1/ws',
  operationId: 'openWebSocket',
  summary: 'What happens to runs, as a WebSocket whose filter can be changed; docs/LIVE.md has the messages',
  tag: tags.live,
  headers: resumeHeaders,
  query: liveQuery,
  answer: { status: 101, description: 'a WebSocket: its text messages are these as JSON', schema: socketMessage },
  problems: ['unavailable', 'upgrade_required'],
  serve: async (_, { incoming }) => problemResponse(upgradeRequired(new URL(incoming.url ?? '/', 'http://x').pathname)),
};

export const liveRoutes: readonly Route[] = [eventStream, socketUpgrade];

export interface LiveStart {
  /** Undefined: now, and nothing of the past. */
  fromMs: number | undefined;
  /** Of where the stream begins. */
  cursor: string;
}

/**
 * An event's id is the instant at which it was told; what was written some seconds before may have been told later. Nothing begins
 * in the future: events come at once, and a client that went on from there would miss them. Throws `invalid_input`.
 */
export function readStart(
  query: LiveQuery,
  live: Pick<LiveHub, 'now'>,
  where: 'query' | 'message',
  header?: string | string[],
): LiveStart {
  const nowMs = live.now();
  const fromHeader = typeof header === 'string' && header !== '' ? header : undefined;
  const given = fromHeader ?? query.last_event_id;
  if (given !== undefined) {
    const place = fromHeader === undefined ? `${where}.last_event_id` : 'header.Last-Event-ID';
    const cursorMs = Math.min(unpackLiveCursor(given, place), nowMs);
    return { fromMs: Math.max(0, cursorMs - resumeMarginMs), cursor: packLiveCursor(cursorMs) };
  }
  if (!query.from) return { fromMs: undefined, cursor: packLiveCursor(nowMs) };
  const askedMs = query.from.getTime();
  if (askedMs > nowMs + aheadMs) throw inFuture(`${where}.from`, query.from, new Date(nowMs));
  const fromMs = Math.min(Math.max(0, askedMs), nowMs);
  return { fromMs, cursor: packLiveCursor(fromMs) };
}

function inFuture(path: string, from: Date, now: Date): CronwrightError {
  const [got, expected] = [from.toISOString(), `an instant that is not after ${now.toISOString()}`];
  return new CronwrightError('invalid_input', `${path} is ${got}, expected ${expected}`, {
    problems: [{ path, message: 'in the future', got, expected }],
  });
}

/** Clocks of clients may be ahead. */
const aheadMs = 60_000;

/** The tail reads again so far back, and entries may wait for others before they are told. */
const resumeMarginMs = 10_000;
