// The stream a pg client speaks through to the PGlite worker: PostgreSQL's own protocol, as messages of bytes.
import { Duplex } from 'node:stream';
import type { Worker } from 'node:worker_threads';

/** From the worker: bytes to the client, or word that it is ready, or that it has failed. */
export type WorkerMessage = Uint8Array<ArrayBuffer> | { type: 'ready' } | { type: 'failed'; reason: string };

/** To the worker: bytes from the client, or the word to close the database and end. */
export type HostMessage = Uint8Array<ArrayBuffer> | { type: 'close' };

/**
 * Looks to pg like a socket. `startWorker` is called when the client connects; the stream ends with its worker, and the
 * worker with its stream.
 */
export class PgliteWire extends Duplex {
  readonly #startWorker: () => Promise<Worker>;
  #worker: Worker | undefined;

  constructor(startWorker: () => Promise<Worker>) {
    super();
    this.#startWorker = startWorker;
  }

  /** Called by pg in place of a TCP connect. */
  connect(): void {
    this.#startWorker().then(
      (worker) => {
        this.#worker = worker;
        worker.on('message', (message: WorkerMessage) => this.#receive(message));
        worker.once('error', (error) => this.destroy(error));
        worker.once('exit', () => this.destroy());
        this.emit('connect');
      },
      (error: Error) => this.destroy(error),
    );
  }

  #receive(message: WorkerMessage): void {
    if (message instanceof Uint8Array) this.push(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
    else if (message.type === 'failed') this.destroy(new Error(`the embedded database has failed: ${message.reason}`));
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#post(new Uint8Array(chunk));
    callback();
  }

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    const length = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0);
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const { chunk } of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    this.#post(bytes);
    callback();
  }

  #post(bytes: Uint8Array<ArrayBuffer>): void {
    this.#worker?.postMessage(bytes satisfies HostMessage, [bytes.buffer]);
  }

  /** The client said goodbye: the worker closes its database, and its exit ends this stream. */
  override _final(callback: () => void): void {
    this.#worker?.postMessage({ type: 'close' } satisfies HostMessage);
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const worker = this.#worker;
    if (!worker) {
      callback(error);
      return;
    }
    // Nobody may open the directory while a worker still writes to it.
    worker.terminate().then(
      () => callback(error),
      () => callback(error),
    );
  }

  // What pg asks of a socket and a worker has no need for.
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    this.#worker?.ref();
    return this;
  }

  unref(): this {
    this.#worker?.unref();
    return this;
  }
}
