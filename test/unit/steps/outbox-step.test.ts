// What a step has for calls beyond its run, inline and in a process of its own: fetch, lookup, outbox, delivery.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAbortError } from '../../../src/steps/abort-reason.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createRegistry, type Registry } from '../../../src/steps/registry.ts';
import { errorOf, type Overrides, outputOf, type Ran, runStep } from '../../support/step-context.ts';

const pluginText = `
import { definePlugin, defineStep } from 'cronwright/plugin';
const any = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
const step = (run) => defineStep({ input: any, output: any, run });
export default definePlugin({ name: 'out', version: '1.0.0', apiVersion: 1, steps: {
  put: step(async (ctx) => ({ first: await ctx.outbox.put(), again: await ctx.outbox.put(), delivery: ctx.delivery ?? null })),
  fetch: step(async (ctx, { url }) => {
    const response = await ctx.fetch(url, { signal: ctx.signal });
    return { status: response.status, text: await response.text(), from: response.url };
  }),
  lookup: step(async (ctx, { host, port }) => ctx.lookup(host, port)),
} });
`;

let folder: string;
let registry: Registry;
let server: Server;
let url: string;
let asked = 0;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cronwright-out-'));
  writeFileSync(join(folder, 'out.ts'), pluginText);
  const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./out.ts'], baseDir: folder });
  expect(problems).toEqual([]);
  registry = createRegistry(plugins);
  server = createServer((request, response) => {
    asked += 1;
    if (request.url === '/hop')
      response.writeHead(302, { location: `${url.replace('127.0.0.1', 'localhost')}/end` }).end();
    else if (request.url !== '/hang') response.end(`got ${request.url}`);
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

// Each of these starts processes.
describe.each(['inline', 'process'] as const)('a step that runs %s', { timeout: 60_000 }, (isolation) => {
  function run(name: string, input: unknown, overrides: Overrides = {}): Promise<Ran> {
    const step = registry.get(`out.${name}`);
    if (!step) throw new Error(`no step ${name}`);
    return runStep(step, input, { isolation, allowPrivateHosts: ['127.0.0.1'], ...overrides });
  }

  it('puts one call into the outbox, without the secrets of its input', async () => {
    const input = { key: 'a-secret-value', n: 1 };
    const ran = await run('put', input, { idempotencyKey: 'k', secrets: ['a-secret-value'] });
    const output = outputOf<{ first: { id: string }; again: { id: string }; delivery: null }>(ran);
    expect(output.first).toEqual(output.again);
    expect(output.delivery).toBeNull();
    expect([...ran.recorded.outbox.values()]).toEqual([{ key: '***', n: 1 }]);
  });

  it('is told why a call cannot be kept', async () => {
    const error = { name: 'ExpressionError', message: 'may name a secret', class: 'fatal' } as const;
    const ran = await run('put', {}, { keepInput: () => ({ ok: false, error }) });
    expect(errorOf(ran)).toMatchObject({ class: 'fatal', message: 'may name a secret' });
  });

  it('fetches what it may reach, and nothing else, by redirects neither', async () => {
    const ok = await run('fetch', { url: `${url}/x` });
    expect(outputOf(ok)).toEqual({ status: 200, text: 'got /x', from: `${url}/x` });
    const before = asked;
    const refused = await run('fetch', { url: `${url}/x` }, { allowPrivateHosts: [] });
    expect(errorOf(refused)).toMatchObject({ name: 'AddressRefused', class: 'fatal' });
    expect(asked).toBe(before);
    expect(errorOf(await run('fetch', { url: `${url}/hop` }))).toMatchObject({ name: 'AddressRefused' });
    expect(asked).toBe(before + 1);
    const allowed = await run('fetch', { url: `${url}/hop` }, { allowPrivateHosts: ['127.0.0.1', 'localhost'] });
    expect(outputOf(allowed)).toMatchObject({ text: 'got /end' });
  });

  it('looks up addresses, those that it may reach', async () => {
    expect(outputOf(await run('lookup', { host: '127.0.0.1', port: 80 }))).toEqual([
      { address: '127.0.0.1', family: 4 },
    ]);
    expect(errorOf(await run('lookup', { host: '10.0.0.1', port: 80 }))).toMatchObject({ name: 'AddressRefused' });
  });

  it('ends a fetch that hangs when its attempt is over', async () => {
    const controller = new AbortController();
    const before = asked;
    const running = run('fetch', { url: `${url}/hang` }, { signal: controller.signal });
    await expect.poll(() => asked, { timeout: 15_000 }).toBe(before + 1);
    controller.abort(createAbortError('cancelled'));
    expect((await running).result).toMatchObject({ kind: 'cancelled', abandoned: false });
  });
});
