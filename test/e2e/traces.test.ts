// Traces of a whole daemon: one connected trace a run at a real receiver, ids in the log, nothing loaded and nothing lost without one.
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { claimIds } from '../../src/observe/trace-ids.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  type LogLine,
  startDaemon,
} from '../support/daemon-process.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';

interface Run {
  id: string;
  state: string;
  traceparent: string | null;
}
interface Step {
  step: string;
  output: unknown;
}

const asked = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const traceparent = `00-${asked.traceId}-${asked.spanId}-01`;

/** Three steps: a program that fails once, a call over HTTP, and a step in a process of its own. */
const work = (peer: string) => `
id: work
steps:
  - id: program
    uses: shell.run
    retry: { initial: 20ms, max_retries: 2 }
    with:
      script: |
        if [ ! -e tried ]; then touch tried; exit 75; fi
        printf %s "$TRACEPARENT"
  - { id: call, uses: http.request, with: { url: ${peer}/hook, method: POST, json: { a: 1 } } }
  - { id: apart, uses: own.tell }
`;

const plugin = `
const any = { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } };
const tell = { input: any, output: any, isolation: 'process', run: (ctx) => ({ traceparent: ctx.traceparent }) };
export default { name: 'own', version: '1.0.0', apiVersion: 1, steps: { tell } };
`;

const tick = `id: tick
schedules: [{ id: often, cron: "@every 1s" }]
steps: [{ id: rest, uses: wait.sleep, with: { duration: 1ms } }]
`;

let folder: DaemonFolder;
let peer: Server;
let peerUrl: string;
const peerRequests: IncomingHttpHeaders[] = [];

beforeAll(async () => {
  folder = await createDaemonFolder();
  peer = createServer((request, response) => {
    peerRequests.push(request.headers);
    response.end('ok');
  });
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
  peerUrl = `http://127.0.0.1:${(peer.address() as AddressInfo).port}`;
});
afterAll(async () => {
  peer.close();
  await folder.remove();
});

async function start(name: string, settings: string, env: Record<string, string> = {}): Promise<Daemon> {
  const dataDir = await folder.dataDir(name);
  const configDir = join(folder.path, name, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  await writeFile(join(configDir, 'own.mjs'), plugin);
  await writeFile(join(configDir, 'pipelines/work.yaml'), work(peerUrl));
  await writeFile(join(configDir, 'pipelines/tick.yaml'), tick);
  const common = `plugins: [./own.mjs]\nhttp: { allow_private_hosts: ["${peerUrl.slice(7)}"] }\nlog: { level: debug }\n`;
  await writeFile(join(configDir, 'cronwright.yaml'), `${common}${settings}`);
  return startDaemon({ dataDir, configDir, env });
}

/** Variables with which a daemon writes down what it loads. */
function recorded(name: string): Record<string, string> {
  const preload = join(packageRoot, 'test/support/record-loads.mjs');
  return { RECORD_LOADS: loadsOf(name), NODE_OPTIONS: `--import ${preload}` };
}

const loadsOf = (name: string) => join(folder.path, `${name}-loads.txt`);

function loadedBy(name: string): string[] {
  const urls = readFileSync(loadsOf(name), 'utf8').split('\n');
  return [...new Set(urls.flatMap((url) => /node_modules\/(@opentelemetry\/[\w-]+)/.exec(url)?.[1] ?? []))].sort();
}

async function finished(daemon: Daemon, id: string): Promise<Run> {
  return eventually(`run ${id} ended`, async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return ['completed', 'failed'].includes(run.state) ? run : undefined;
  });
}

async function startWork(daemon: Daemon): Promise<string> {
  const answer = await daemon.ask('/api/v1/pipelines/work/runs', {
    method: 'POST',
    headers: { traceparent },
    json: {},
  });
  expect(answer.status).toBe(202);
  return (answer.body as { id: string }).id;
}

const traceparentOf = (span: ReceivedSpan | undefined) => `00-${span?.traceId}-${span?.spanId}-01`;

describe('with a collector', () => {
  let receiver: OtlpReceiver;
  let daemon: Daemon;
  let run: Run;
  let traceId: string;
  let spans: ReceivedSpan[];
  const named = (name: string) => spans.filter((span) => span.name === name);

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    const env = { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20s3cr3t-of-collector' };
    daemon = await start('traced', `tracing: { endpoint: "${receiver.url}" }\n`, env);
    run = await finished(daemon, await startWork(daemon));
    traceId = run.id.replaceAll('-', '');
    spans = await receiver.received('spans of the run', (span) => span.traceId === traceId, 5);
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.close();
  });

  it('a run is one connected trace, whose id is its own: a root, and a span an attempt', async () => {
    expect(run.state).toBe('completed');
    expect(spans.map((span) => span.name).sort()).toEqual([
      'RUN work',
      'STEP apart',
      'STEP call',
      'STEP program',
      'STEP program',
    ]);
    const [root] = named('RUN work');
    expect(root).toMatchObject({ ...claimIds(run.id, 1), parentSpanId: '', kind: 2, status: { code: 0 } });
    expect(root?.attributes).toMatchObject({
      'cicd.pipeline.name': 'work',
      'cicd.pipeline.run.id': run.id,
      'cicd.pipeline.result': 'success',
      'cronwright.origin': 'api',
    });
    for (const span of spans.filter((one) => one !== root)) expect(span.parentSpanId).toBe(root?.spanId);
    expect(root?.resource).toMatchObject({ 'service.name': 'cronwright', 'service.version': expect.any(String) });
    const { items } = await daemon.get<{ items: { id: string }[] }>('/nodes');
    expect(items.map(({ id }) => id)).toContain(root?.resource['service.instance.id']);
  });

  it('the failed attempt says how it failed and when it goes on, the good one that it is good', () => {
    const [failed, good] = named('STEP program').sort(
      (a, b) => Number(a.attributes['cronwright.attempt']) - Number(b.attributes['cronwright.attempt']),
    );
    expect(failed).toMatchObject({
      status: { code: 2 },
      attributes: { 'cicd.pipeline.task.run.result': 'failure', 'error.type': expect.any(String) },
      events: [{ name: 'retry', attributes: { 'cronwright.error_class': 'transient' } }],
    });
    expect(good).toMatchObject({
      status: { code: 0 },
      attributes: { 'cicd.pipeline.task.run.result': 'success', 'cronwright.attempt': 2 },
      events: [],
    });
  });

  it('steps pass on the span of their own attempt: in a header, in the environment, in another process', async () => {
    const { items } = await daemon.get<{ items: Step[] }>(`/runs/${run.id}/steps`);
    const outputs = Object.fromEntries(items.map(({ step, output }) => [step, output]));
    const [, good] = named('STEP program').sort(
      (a, b) => Number(a.attributes['cronwright.attempt']) - Number(b.attributes['cronwright.attempt']),
    );
    expect(peerRequests.map((headers) => headers.traceparent)).toEqual([traceparentOf(named('STEP call')[0])]);
    expect(outputs.program).toMatchObject({ stdout: traceparentOf(good) });
    expect(outputs.apart).toEqual({ traceparent: traceparentOf(named('STEP apart')[0]) });
  });

  it('the run is linked to the request that enqueued it, which belongs to the trace of the caller', async () => {
    const name = 'POST /api/v1/pipelines/{id}/runs';
    const [server] = await receiver.received('the request', (span) => span.name === name);
    expect(server).toMatchObject({ traceId: asked.traceId, parentSpanId: asked.spanId, kind: 2 });
    expect(server?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/api/v1/pipelines/{id}/runs',
      'http.response.status_code': 202,
      'url.path': '/api/v1/pipelines/work/runs',
    });
    expect(run.traceparent).toBe(traceparentOf(server));
    expect(named('RUN work')[0]?.links).toMatchObject([{ traceId: server?.traceId, spanId: server?.spanId }]);
  });

  it('a scheduled run is linked to the span under which it was enqueued', async () => {
    const [ticked] = await receiver.received('a tick', (span) => span.name === 'RUN tick');
    const [link] = ticked?.links ?? [];
    const [producer] = await receiver.received('its producer', (span) => span.spanId === link?.spanId);
    expect(producer).toMatchObject({ name: 'ENQUEUE due schedules', kind: 4, traceId: link?.traceId });
  });

  it('lines of the log carry the ids of the span they belong to', () => {
    const ofRun = (msg: string) => daemon.log.filter((line) => line.run_id === run.id && line.msg === msg);
    const idsOf = (lines: readonly LogLine[]) => lines.map(({ trace_id, span_id }) => [trace_id, span_id]);
    const [root] = named('RUN work');
    const attempts = [...named('STEP program'), ...named('STEP call'), ...named('STEP apart')];
    expect(idsOf(ofRun('run.claimed'))).toEqual([[traceId, root?.spanId]]);
    expect(idsOf(ofRun('run.finished'))).toEqual([[traceId, root?.spanId]]);
    for (const msg of ['step.started', 'step.finished']) {
      expect(new Set(ofRun(msg).map((line) => line.span_id))).toEqual(new Set(attempts.map((span) => span.spanId)));
    }
    const failed = attempts.find((span) => span.status.code === 2);
    expect(idsOf(ofRun('step.retried'))).toEqual([[traceId, failed?.spanId]]);
    expect(ofRun('run.enqueued')[0]?.trace_id).toBe(asked.traceId);
  });

  it('the headers of the environment are sent, and shown nowhere', async () => {
    const { requests } = receiver;
    expect(new Set(requests.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
    expect(requests[0]?.headers.authorization).toBe('Bearer s3cr3t-of-collector');
    const config = await daemon.ask('/api/v1/config');
    expect(config.text).toContain('tracing.headers');
    expect(config.text + daemon.output()).not.toContain('s3cr3t');
  });

  it('what is left is sent when the daemon stops', async () => {
    const last = await finished(daemon, await startWork(daemon));
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    const ids = receiver.spans.filter((span) => span.traceId === last.id.replaceAll('-', ''));
    expect(ids.map((span) => span.name)).toContain('RUN work');
    expect(daemon.log.filter((line) => line.msg === 'tracing.failed')).toEqual([]);
  });
});

describe('with a collector that is away', () => {
  it('runs complete, one line says so, and a stop waits no longer than its bound', async () => {
    // Port 9 is discard: nobody listens there.
    const daemon = await start('away', 'tracing: { endpoint: "http://127.0.0.1:9" }\n', recorded('away'));
    try {
      const run = await finished(daemon, await startWork(daemon));
      expect(run.state).toBe('completed');
      const line = await daemon.logged('tracing.failed');
      expect(line).toMatchObject({ level: 'warn', endpoint: 'http://127.0.0.1:9/v1/traces' });
      expect(line.reason).toContain('ECONNREFUSED');
      expect(line).not.toHaveProperty('trace_id');
      const from = performance.now();
      expect(await daemon.stop()).toEqual({ code: 0, signal: null });
      expect(performance.now() - from).toBeLessThan(15_000);
      expect(daemon.log.filter(({ msg }) => msg === 'tracing.failed')).toHaveLength(1);
    } finally {
      await daemon.kill();
    }
  });
});

describe('without a collector', () => {
  it('nothing of the SDK is loaded', async () => {
    const daemon = await start('untraced', '', recorded('untraced'));
    try {
      await daemon.logged(({ msg, pipeline }) => msg === 'run.finished' && pipeline === 'tick');
      expect(loadedBy('untraced')).toEqual(['@opentelemetry/api']);
      expect(loadedBy('away')).toContain('@opentelemetry/sdk-trace');
    } finally {
      await daemon.kill();
    }
  });
});
