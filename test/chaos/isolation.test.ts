// Steps that misbehave: only they fail, with a word of why, and the node beside them hardly notices.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import type { RunDetail } from '../../src/reads/get-run.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { figure, isFull } from './figures.ts';

const megabyte = 1_048_576;
const timeoutMs = 5_000;

interface Fault {
  /** Step type, and for people. */
  uses: string;
  title: string;
  with?: Record<string, unknown>;
  limits?: string | undefined;
  /** Undefined: it completes. */
  error?: { name: string; says: RegExp };
  /** From the start of the step to its end; default its timeout and 2 s. */
  withinMs?: number;
  timeout?: string;
}

const small = isFull ? undefined : '{ memory: 256MB, output: 16MB }';
const faults: Readonly<Record<string, Fault>> = {
  spins: {
    uses: 'wild.spins',
    title: 'while (true), with children',
    error: { name: 'TimeoutError', says: /longer than 5000 ms/ },
  },
  buffers: {
    uses: 'wild.eats_buffers',
    title: isFull ? '4 GB of Buffers' : '1 GB of Buffers, 256 MB allowed',
    with: { size: isFull ? 4_294_967_296 : 1_073_741_824 },
    limits: small,
    error: { name: 'MemoryLimit', says: /limits\.memory/ },
  },
  heap: {
    uses: 'wild.eats_heap',
    title: 'objects without end',
    limits: '{ memory: 256MB }',
    timeout: '20s',
    error: { name: 'MemoryLimit', says: /limits\.memory/ },
  },
  stdout: {
    uses: 'wild.prints',
    title: isFull ? '2 GB of stdout' : '128 MB of stdout, 16 MB allowed',
    with: { size: isFull ? 2_147_483_648 : 134_217_728 },
    limits: small,
    error: { name: 'OutputLimit', says: /limits\.output/ },
  },
  printed: {
    uses: 'wild.prints',
    title: '200 MB of stdout within its limit',
    with: { size: 200 * megabyte },
    timeout: '30s',
  },
  line: { uses: 'wild.prints_line', title: 'a line of 10,000,000 characters on stdout', with: { size: 10_000_000 } },
  message: {
    uses: 'wild.logs_line',
    title: 'a log message of 10,000,000 characters',
    with: { size: 10_000_000 },
    error: { name: 'ProtocolError', says: /more than 8388608 characters/ },
  },
  rejects: {
    uses: 'wild.rejects',
    title: 'unhandled rejection in a process',
    error: { name: 'Error', says: /nobody waits for this/ },
    withinMs: 5_000,
    timeout: '60s',
  },
  rejects_inline: {
    uses: 'wild.rejects_inline',
    title: 'unhandled rejection inline',
    error: { name: 'Error', says: /nobody waits for this/ },
    withinMs: 5_000,
    timeout: '60s',
  },
  throws_inline: {
    uses: 'wild.throws_later_inline',
    title: 'error of a timer inline',
    error: { name: 'Error', says: /out of the blue/ },
    withinMs: 5_000,
    timeout: '60s',
  },
  exits: {
    uses: 'wild.exits',
    title: 'process.exit(0)',
    error: { name: 'ProcessExited', says: /code 0 before it returned/ },
  },
  kills_itself: {
    uses: 'wild.kills_itself',
    title: 'SIGKILL to itself',
    error: { name: 'ProcessKilled', says: /SIGKILL/ },
  },
  cpu: {
    uses: 'wild.spins',
    title: 'more processor time than it may',
    limits: '{ cpu: 1s }',
    timeout: '60s',
    error: { name: 'CpuLimit', says: /limits\.cpu/ },
  },
  files: {
    uses: 'wild.opens',
    title: 'more open files than it may',
    limits: '{ open_files: 64 }',
    error: { name: 'OpenFilesLimit', says: /EMFILE.* 64 open \(limits\.open_files/ },
  },
  shell_memory: {
    uses: 'shell.run',
    title: 'a program that takes more memory than it may',
    with: { argv: ['sh', '-c', 'head -c 400000000 /dev/zero | tail'] },
    limits: '{ memory: 64MB }',
    error: { name: 'MemoryLimit', says: /limits\.memory/ },
  },
  shell_output: {
    uses: 'shell.run',
    title: 'a program that prints more than it may',
    with: { argv: ['head', '-c', '100000000', '/dev/zero'] },
    limits: '{ output: 1MB }',
    error: { name: 'OutputLimit', says: /limits\.output/ },
  },
  shell_cpu: {
    uses: 'shell.run',
    title: 'a program that takes more processor time than it may',
    with: { argv: ['sh', '-c', 'while :; do :; done'] },
    limits: '{ cpu: 1s }',
    timeout: '60s',
    error: { name: 'CpuLimit', says: /limits\.cpu/ },
  },
};

const noRetry = 'retry: { max_retries: 0 }';

function pipelineOf(id: string, { uses, with: input = {}, limits, timeout = `${timeoutMs}ms` }: Fault): string {
  const more = limits === undefined ? '' : `, limits: ${limits}`;
  return `id: ${id.replaceAll('_', '-')}
steps:
  - { id: only, uses: ${uses}, with: ${JSON.stringify(input)}, timeout: ${timeout}, ${noRetry}${more} }
`;
}

describe('a node beside a step that misbehaves', () => {
  let folder: DaemonFolder;
  let test: TestDatabase;
  let daemon: Daemon;
  let probeFile: string;
  let pidFile: string;

  beforeAll(async () => {
    folder = await createDaemonFolder();
    test = await createTestDatabase('postgres');
    const configDir = join(folder.path, 'config');
    [probeFile, pidFile] = [join(folder.path, 'probe.json'), join(folder.path, 'pids.json')];
    await mkdir(join(configDir, 'pipelines'), { recursive: true });
    const spins = { ...(faults.spins as Fault), with: { pids: pidFile } };
    const documents = Object.entries({ ...faults, spins }).map(([id, fault]) => pipelineOf(id, fault));
    documents.push(`id: fine\nsteps: [{ id: only, uses: wild.fine }]\n`);
    await writeFile(join(configDir, 'pipelines/all.yaml'), documents.join('---\n'));
    const plugin = join(packageRoot, 'test/chaos/wild-plugin/index.ts');
    await writeFile(join(configDir, 'cronwright.yaml'), `plugins: ["${plugin}"]\n`);
    const probe = pathToFileURL(join(packageRoot, 'test/chaos/wild-plugin/probe.mjs')).href;
    const env = { DATABASE_URL: test.url ?? '', PROBE_FILE: probeFile, NODE_OPTIONS: `--import=${probe}` };
    daemon = await startDaemon({ dataDir: await folder.dataDir('a', { empty: true }), configDir, env });
    // What is loaded once is no growth by a fault.
    await ended(await start('fine'));
    await ended(await start('rejects-inline'));
  });
  afterAll(async () => {
    await daemon?.kill();
    await test?.close();
    await folder?.remove();
  });

  const start = async (pipeline: string) => (await daemon.post<{ id: string }>(`/pipelines/${pipeline}/runs`, {})).id;
  const ended = (id: string) =>
    eventually<RunDetail>(
      `the end of ${id}`,
      async () => {
        const run = await daemon.get<RunDetail>(`/runs/${id}`);
        return run.finished_at === null ? undefined : run;
      },
      60_000,
    );

  interface Seen {
    p99Ms: number;
    maxMs: number;
    grewMb: number;
  }
  const probed = () =>
    eventually<Seen>('the probe', () =>
      existsSync(probeFile) ? JSON.parse(readFileSync(probeFile, 'utf8')) : undefined,
    );

  it.each(Object.keys(faults))('%s', async (name) => {
    const fault = faults[name] as Fault;
    rmSync(probeFile, { force: true });
    await probed();
    const id = await start(name.replaceAll('_', '-'));
    const run = await ended(id);
    const beside = await ended(await start('fine'));
    expect(beside.state).toBe('completed');
    if (fault.error) {
      expect(run).toMatchObject({ state: 'failed', error: { name: fault.error.name } });
      expect(run.error?.message).toMatch(fault.error.says);
    } else expect(run).toMatchObject({ state: 'completed' });
    const { items } = await daemon.get<{ items: { duration_ms: number }[] }>(`/runs/${id}/steps`);
    const tookMs = items[0]?.duration_ms ?? 0;
    const mostMs = fault.withinMs ?? (fault.timeout === undefined ? timeoutMs + 2_000 : Number.POSITIVE_INFINITY);
    const { p99Ms, maxMs, grewMb } = await probed();
    const seen = `${Math.round(tookMs)} ms, +${Math.max(0, Math.round(grewMb))} MB, lag p99 ${p99Ms.toFixed(1)} ms (max ${maxMs.toFixed(0)})`;
    figure(fault.title, `${fault.error?.name ?? 'completed'}, < 64 MB, lag p99 < 100 ms`, seen);
    expect(tookMs).toBeLessThan(mostMs);
    expect(grewMb).toBeLessThan(64);
    expect(p99Ms).toBeLessThan(100);
  });

  it('leaves no process behind, whatever group it is in', async () => {
    const pids = JSON.parse(readFileSync(pidFile, 'utf8')) as number[];
    expect(pids).toHaveLength(3);
    await eventually('their end', () => (pids.some(isAlive) ? undefined : true), 5_000);
  });
});

function isAlive(pid: number): boolean {
  try {
    // One that nobody has waited for yet is no process any more.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
