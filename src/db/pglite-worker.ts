// The thread that PGlite blocks while a query runs: takes protocol bytes, answers protocol bytes.
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import type { HostMessage, WorkerMessage } from './pglite-wire.ts';

if (!parentPort) throw new Error('pglite-worker.ts runs in a worker thread only');
const port = parentPort;
const { dataDir } = workerData as { dataDir: string };

try {
  const db = await PGlite.create({ dataDir });
  port.on('message', (message: HostMessage) => {
    if (message instanceof Uint8Array) answer(db, message);
    else closeAndEnd(db);
  });
  post({ type: 'ready' });
} catch (error) {
  fail(error);
}

function answer(db: PGlite, request: Uint8Array<ArrayBuffer>): void {
  const parts: Uint8Array[] = [];
  // The call runs the statement before it returns, so requests are answered in their order. The parts are views of
  // PGlite's memory and must be copied at once. Nothing is to be synced: on a real directory every write already went out.
  db.execProtocolRawStream(request, { syncToFs: false, onRawData: (part) => parts.push(part.slice()) }).catch(fail);
  const bytes = joined(parts);
  const goodbye = request[0] === 'X'.charCodeAt(0);
  // PGlite swallows a trap of its WebAssembly and answers nothing, for which the client would wait for ever.
  if (!goodbye && !endsReady(bytes)) fail(new Error('it broke off in the middle of a statement'));
  else if (!goodbye) post(bytes);
}

/** Whether the answer ends with ReadyForQuery, as the answer to every whole request does. */
function endsReady(bytes: Uint8Array): boolean {
  const [type, ...length] = bytes.subarray(-6, -1);
  return type === 'Z'.charCodeAt(0) && length.join() === '0,0,0,5';
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

async function closeAndEnd(db: PGlite): Promise<void> {
  try {
    await db.close();
    port.close();
  } catch (error) {
    fail(error);
  }
}

/** A trap in WebAssembly leaves memory nobody can trust; the next worker recovers from what was written. */
function fail(error: unknown): void {
  post({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
  port.close();
}

function post(message: WorkerMessage): void {
  if (message instanceof Uint8Array) port.postMessage(message, [message.buffer]);
  else port.postMessage(message);
}
