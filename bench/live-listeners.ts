// A process of its own that listens to the live stream over many sockets, and notes when each event came to each of them.
import { connect, type Socket } from 'node:net';

/** What the parent asks for, as JSON in the first argument. */
export interface ListenerOrder {
  url: string;
  sse: number;
  websocket: number;
  /** Receipts there will be, at most. */
  receipts: number;
}

/** Messages of the parent: the instants at which events were emitted, by `run_id/seq`, in monotonic milliseconds. */
export interface EmittedEvents {
  emitted: [key: string, atMs: number][];
}

/** Messages to the parent: all are connected, or what was measured. */
export type ListenerReport =
  | { kind: 'connected'; seconds: number }
  | {
      kind: 'heard';
      /** Milliseconds from emit to receipt, of all clients: p50, p99, p999 and the longest. */
      quantiles: number[];
      sse: number[];
      websocket: number[];
      /** Receipts, and how many there had to be. */
      received: number;
      expected: number;
      dropped: number;
      /** Processor time of the listeners since they were connected, as a share of a core. */
      cpuShare: number;
    };

const order = JSON.parse(process.argv[2] ?? '{}') as ListenerOrder;
const { hostname, port } = new URL(order.url);
const total = order.sse + order.websocket;
const openAtOnce = 100;

const indexOfKey = new Map<string, number>();
let receipts = 0;
// All of it from the start: to grow would be a pause in the middle.
const eventOf = new Uint32Array(order.receipts);
const clientOf = new Uint16Array(order.receipts);
const receivedAt = new Float64Array(order.receipts);
let dropped = 0;
let isOver = false;

/** The same clock in all processes of the machine, without making an object each time. */
const clockOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

function nowMs(): number {
  return performance.now() + clockOffsetMs;
}

function note(client: number, key: string, at: number): void {
  let index = indexOfKey.get(key);
  if (index === undefined) {
    index = indexOfKey.size;
    indexOfKey.set(key, index);
  }
  if (receipts === eventOf.length) throw new Error(`more than ${receipts} receipts`);
  eventOf[receipts] = index;
  clientOf[receipts] = client;
  receivedAt[receipts] = at;
  receipts += 1;
}

/** Frames of a WebSocket; no event has the first one's bytes. */
const ping = Buffer.from([0x89, 0]);
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);
const mark = Buffer.from('"run_id":"');
const comma = 0x2c;
const idLength = 36;

/** One for all sockets: what comes is looked at before anything else can come. */
const shared = Buffer.allocUnsafe(65_536);

/**
 * Finds the events in what came. To make texts of all of it, two hundred thousand times a second, would be this process's own
 * delay; what is kept of an event is `<run_id>","seq":<number>`.
 */
function createReader(client: number, answer: (bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  return (chunk) => {
    const at = nowMs();
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    if (bytes.includes(ping)) answer(pong);
    let from = bytes.indexOf(mark);
    let done = 0;
    for (; from >= 0; from = bytes.indexOf(mark, done)) {
      const start = from + mark.length;
      const to = bytes.indexOf(comma, start + idLength + 8);
      if (to < 0) break;
      note(client, bytes.toString('latin1', start, to), at);
      done = to;
    }
    // The beginning of an event may be all that has come of it.
    const kept = from >= 0 ? from : Math.max(done, bytes.length - mark.length);
    rest = kept < bytes.length - 1 && !isEnd(bytes) ? Buffer.from(bytes.subarray(kept)) : undefined;
  };
}

/** Whole events end so: a chunk of SSE with its line break, a message with its closing brace. */
function isEnd(bytes: Buffer): boolean {
  const last = bytes[bytes.length - 1];
  return last === 0x0a || last === 0x7d;
}

function open(client: number): Promise<Socket> {
  const isSse = client < order.sse;
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  const head = [`GET ${isSse ? '/events' : '/ws'} HTTP/1.1`, `Host: ${hostname}`, ...(isSse ? [] : upgrade), '', ''];
  return new Promise((resolve, reject) => {
    let isOpen = false;
    const read = createReader(client, (bytes) => socket.write(bytes));
    const socket = connect({
      port: Number(port),
      host: hostname,
      onread: {
        buffer: shared,
        callback(bytes, buffer) {
          const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, bytes);
          if (isOpen) read(chunk);
          else {
            isOpen = true;
            const line = chunk.toString('latin1', 0, 12);
            if (line === (isSse ? 'HTTP/1.1 200' : 'HTTP/1.1 101')) resolve(socket);
            else reject(new Error(`answered with ${line}`));
          }
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (!isOver) dropped += 1;
    });
    socket.write(head.join('\r\n'));
  });
}

function quantilesOf(emitted: Map<number, number>, fits: (client: number) => boolean): number[] {
  const delays: number[] = [];
  for (let i = 0; i < receipts; i += 1) {
    const from = emitted.get(eventOf[i] as number);
    if (from !== undefined && fits(clientOf[i] as number)) delays.push((receivedAt[i] as number) - from);
  }
  const sorted = Float64Array.from(delays).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return [at(0.5), at(0.99), at(0.999), sorted.at(-1) ?? Number.NaN];
}

function report(message: ListenerReport): void {
  process.send?.(message);
}

const sockets: Socket[] = [];
const from = performance.now();
for (let client = 0; client < total; client += openAtOnce) {
  const some = Array.from({ length: Math.min(openAtOnce, total - client) }, (_, i) => open(client + i));
  sockets.push(...(await Promise.all(some)));
}
report({ kind: 'connected', seconds: (performance.now() - from) / 1_000 });

const listeningFrom = performance.now();
const usedBefore = process.cpuUsage();
process.on('message', (message: EmittedEvents) => {
  isOver = true;
  const used = process.cpuUsage(usedBefore);
  const emitted = new Map(message.emitted.map(([key, at]) => [indexOfKey.get(key.replace('/', '","seq":')) ?? -1, at]));
  let received = 0;
  for (let i = 0; i < receipts; i += 1) if (emitted.has(eventOf[i] as number)) received += 1;
  report({
    kind: 'heard',
    quantiles: quantilesOf(emitted, () => true),
    sse: quantilesOf(emitted, (client) => client < order.sse),
    websocket: quantilesOf(emitted, (client) => client >= order.sse),
    received,
    expected: message.emitted.length * total,
    dropped,
    cpuShare: (used.user + used.system) / 1_000 / (performance.now() - listeningFrom),
  });
  for (const socket of sockets) socket.destroy();
  process.disconnect();
});
