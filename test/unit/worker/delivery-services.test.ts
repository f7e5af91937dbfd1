// A step that the outbox calls: also in a process of its own it works, in an empty folder that is gone afterwards.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEventBus } from '../../../src/observe/events.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createObservedStep } from '../../../src/steps/observed-step.ts';
import { createRegistry } from '../../../src/steps/registry.ts';
import { createDeliveryServices } from '../../../src/worker/delivery-services.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const pluginText = `
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { definePlugin, defineStep } from 'cronwright/plugin';
const any = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
export default definePlugin({ name: 'out', version: '1.0.0', apiVersion: 1, steps: { send: defineStep({
  input: any, output: any,
  async run(ctx, input) {
    const before = readdirSync(ctx.workspace);
    writeFileSync(ctx.workspace + '/left', '');
    const refused = [];
    for (const call of [() => ctx.outbox.put(), () => ctx.checkpoint.save(1)]) {
      await call().catch((error) => refused.push(error.name));
    }
    return { before, refused, putAt: ctx.delivery.putAt, key: ctx.idempotencyKey, secret: (await ctx.secrets.get('A')).length };
  },
}) } });
`;

describe.each(['inline', 'process'] as const)('a call from the outbox, %s', { timeout: 60_000 }, (isolation) => {
  it('has secrets and an empty folder, and neither checkpoint nor outbox', async () => {
    const folder = tempFolder('delivery');
    writeFileSync(join(folder, 'out.ts'), pluginText);
    const { plugins } = await loadPlugins({ builtIn: {}, listed: ['./out.ts'], baseDir: folder });
    const registered = createRegistry(plugins).get('out.send');
    if (!registered) throw new Error('no step');
    const step = Object.create(registered, { isolation: { value: isolation } }) as typeof registered;
    const services = createDeliveryServices({
      host: {
        apiUrl: undefined,
        dataDir: folder,
        allowPrivateHosts: [],
        programEnv: { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: folder },
      },
      secrets: { get: async () => 'four' },
      connection: () => Promise.reject(new Error('none')),
    });
    const result = await createObservedStep({ services, events: createEventBus() }).run(step, {
      runId: 'run',
      tenant: 'default',
      pipeline: 'p',
      step: 'tell',
      item: undefined,
      attempt: 2,
      token: 2,
      idempotencyKey: 'call-1',
      dryRun: false,
      input: {},
      env: {},
      traceparent: undefined,
      timeoutMs: 60_000,
      signal: new AbortController().signal,
      secrets: [],
      delivery: { putAt: '2026-01-02T03:04:05.000Z' },
    });
    expect(result).toMatchObject({
      kind: 'completed',
      output: {
        before: [],
        refused: ['NoOutbox', 'NoRun'],
        putAt: '2026-01-02T03:04:05.000Z',
        key: 'call-1',
        secret: 4,
      },
    });
    expect(readdirSync(join(folder, 'workspaces'))).toEqual(['call-1']);
    await services.discard('call-1');
    await services.discard('call-1');
    expect(existsSync(join(folder, 'workspaces', 'call-1'))).toBe(false);
  });
});
