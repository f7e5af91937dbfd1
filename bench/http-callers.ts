// A process of its own that calls the API as fast as it answers, so that the callers' cost is not the daemon's.
import { Pool } from 'undici';

/** What the parent asks for, as JSON in the first argument. */
export interface CallerOrder {
  url: string;
  path: string;
  body: string;
  callers: number;
  /** Calls in all. */
  calls: number;
}

export interface CallerReport {
  seconds: number;
  latenciesMs: number[];
}

const order = JSON.parse(process.argv[2] ?? '{}') as CallerOrder;
const pool = new Pool(order.url, { connections: order.callers, pipelining: 1 });
const latenciesMs: number[] = [];
let left = order.calls;

async function call(): Promise<void> {
  const from = performance.now();
  const { statusCode, body } = await pool.request({
    path: order.path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: order.body,
  });
  const text = await body.text();
  if (statusCode !== 202) throw new Error(`POST ${order.path} answered ${statusCode}: ${text.slice(0, 500)}`);
  latenciesMs.push(performance.now() - from);
}

const from = performance.now();
await Promise.all(
  Array.from({ length: order.callers }, async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  }),
);
const report: CallerReport = { seconds: (performance.now() - from) / 1_000, latenciesMs };
await pool.close();
process.send?.(report);
