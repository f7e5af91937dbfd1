// A response whose head cannot fail to be written: where it would, a problem is the answer and the fault is told.
import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { errorMessage } from '../domain/errors.ts';
import type { HttpContext } from './http-context.ts';
import { problemResponse, toProblem } from './problem.ts';

type WriteHead = [status: number, ...rest: unknown[]];

/** A class for `createServer`. Without it the adaptor prints the error and sends its message. */
export function guardedResponse(events: HttpContext['events']): typeof ServerResponse {
  return class GuardedResponse<R extends IncomingMessage = IncomingMessage> extends ServerResponse<R> {
    /** Goes out instead of what was to be the body. */
    #problem: string | undefined;

    override writeHead(...head: WriteHead): this {
      try {
        return super.writeHead(...(head as [number, OutgoingHttpHeaders]));
      } catch (error) {
        if (this.headersSent) throw error;
        const path = this.req.url?.split('?')[0] ?? '';
        events.emit('service.crashed', { service: 'http', error: `${path}: ${errorMessage(error)}` });
        const problem = toProblem(error, path);
        this.#problem = JSON.stringify(problem);
        for (const name of this.getHeaderNames()) this.removeHeader(name);
        return super.writeHead(500, 'Internal Server Error', {
          ...Object.fromEntries(problemResponse(problem).headers),
          'content-length': Buffer.byteLength(this.#problem),
        });
      }
    }

    override write(...chunk: unknown[]): boolean {
      if (this.#problem !== undefined) return true;
      return super.write(...(chunk as [unknown]));
    }

    override end(...chunk: unknown[]): this {
      if (this.#problem === undefined || this.writableEnded) return super.end(...(chunk as []));
      return super.end(this.#problem);
    }
  };
}
