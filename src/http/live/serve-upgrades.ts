// Requests that ask for another protocol: WebSockets are opened at /ws, all else is answered as if it had not asked.
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { CronwrightError } from '../../domain/errors.ts';
import type { Access } from '../access.ts';
import { readCaller } from '../caller.ts';
import { checkInput, fieldsOf } from '../check-input.ts';
import type { HttpContext } from '../http-context.ts';
import { notFound, problemResponse, toProblem } from '../problem.ts';
import { type LiveStart, readStart } from '../routes/live-routes.ts';
import { type LiveFilter, liveQuery, readFilter } from './live-filter.ts';
import type { LiveHub, LiveSubscription } from './live-hub.ts';
import { openWebSocket, readMessage, type WebSocketConnection } from './websocket-connection.ts';

export interface UpgradeOptions {
  context: HttpContext;
  access: Access;
  live: LiveHub;
}

const paths: readonly string[] = ['/api/v1/ws', '/ws'];
/** Bytes of a client's message: filters, no more. */
const maxPayload = 65_536;

export function serveUpgrades(server: Server, options: UpgradeOptions): void {
  // Without compression every frame is a plain header and the text, the same for all clients.
  const sockets = new WebSocketServer({ noServer: true, maxPayload, perMessageDeflate: false, clientTracking: false });
  server.on('upgrade', (incoming: IncomingMessage, stream: Duplex, head: Buffer) => {
    const socket = stream as Socket;
    if (incoming.headers.upgrade?.toLowerCase() !== 'websocket') return serveWithout(server, incoming, socket, head);
    // A client that goes during the handshake is none; `ws` listens for itself later.
    socket.on('error', ignore);
    try {
      const opening = accept(incoming, options);
      sockets.handleUpgrade(incoming, socket, head, (ws) => {
        socket.off('error', ignore);
        served(incoming, 101, options);
        converse(openWebSocket(ws, socket, options.context.events), ws, opening, options.live);
      });
    } catch (error) {
      refuse(incoming, socket, error, options);
    }
  });
}

function ignore(): void {}

interface Opening {
  caller: { tenant: string };
  filter: LiveFilter;
  start: LiveStart;
}

/** Throws what a GET would be answered with. */
function accept(incoming: IncomingMessage, { access, live }: UpgradeOptions): Opening {
  const url = new URL(incoming.url ?? '/', 'http://localhost');
  access.check({ method: 'GET', path: url.pathname, headers: incoming.headers });
  if (!paths.includes(url.pathname)) throw new CronwrightError('not_found', notFound(url.pathname).detail);
  const caller = readCaller(incoming.headers);
  const query = checkInput(liveQuery, fieldsOf(url.searchParams), 'query');
  const start = readStart(query, live, 'query', incoming.headers['last-event-id']);
  live.requireRoom();
  return { caller, filter: readFilter(query, caller.tenant), start };
}

const message = z.discriminatedUnion('type', [
  liveQuery.extend({ type: z.literal('subscribe') }),
  z.strictObject({ type: z.literal('unsubscribe') }),
  z.strictObject({ type: z.literal('ping') }),
]);

/** One subscription a connection: the address's at first, then what the client asks for instead. */
function converse(
  connection: WebSocketConnection,
  ws: WebSocket,
  { caller, filter, start }: Opening,
  live: LiveHub,
): void {
  function subscribe(fields: Readonly<Record<string, unknown>>): void {
    const query = checkInput(liveQuery, fields, 'message');
    const { fromMs, cursor } = readStart(query, live, 'message');
    subscription?.end();
    connection.tell({ type: 'subscribed', id: cursor });
    subscription = live.subscribe(connection, readFilter(query, caller.tenant), fromMs);
  }

  live.add(connection);
  connection.tell({ type: 'hello', id: start.cursor, node: live.node, heartbeat_ms: live.heartbeatMs });
  let subscription: LiveSubscription | undefined = live.subscribe(connection, filter, start.fromMs);
  ws.on('message', (data: Buffer, isBinary: boolean) => {
    try {
      const { type, ...fields } = readMessage(data, isBinary);
      checkInput(message, { type, ...fields }, 'message');
      if (type === 'ping') connection.tell({ type: 'pong' });
      else if (type === 'subscribe') subscribe(fields);
      else {
        subscription?.end();
        subscription = undefined;
        connection.tell({ type: 'unsubscribed' });
      }
    } catch (error) {
      const { code, detail, problems } = toProblem(error, '/api/v1/ws');
      connection.tell({ type: 'error', code, detail, problems });
      connection.end('bad_message');
    }
  });
}

function refuse(incoming: IncomingMessage, socket: Socket, error: unknown, options: UpgradeOptions): void {
  const path = new URL(incoming.url ?? '/', 'http://localhost').pathname;
  const problem = toProblem(error, path);
  const body = JSON.stringify(problem);
  const lines = [...problemResponse(problem).headers].map(([name, value]) => `${name}: ${value}`);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    ...lines,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  served(incoming, problem.status, options);
}

function served({ url = '/' }: IncomingMessage, status: number, { context }: UpgradeOptions): void {
  const path = new URL(url, 'http://localhost').pathname;
  const route = paths.includes(path) ? path : 'unmatched';
  context.events.emit('http.served', { route, method: 'GET', status, seconds: 0 });
}

/**
 * A client may offer a protocol that is not spoken here, such as h2c, and then has to be answered in its own (RFC 9110, 7.8).
 * Node hands over all upgrades as soon as it hands over one: the request is given back without its offer.
 */
function serveWithout(server: Server, incoming: IncomingMessage, socket: Socket, head: Buffer): void {
  const lines = [`${incoming.method} ${incoming.url} HTTP/${incoming.httpVersion}`];
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const name = incoming.rawHeaders[i] ?? '';
    if (!/^(upgrade|connection|http2-settings)$/i.test(name)) lines.push(`${name}: ${incoming.rawHeaders[i + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
