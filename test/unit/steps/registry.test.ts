// What the registry says of step types, and what it refuses.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePlugin, defineStep, type PluginDefinition } from '../../../src/steps/api.ts';
import { createRegistry } from '../../../src/steps/registry.ts';

const say = defineStep({
  description: 'Says it.',
  input: z.strictObject({ text: z.string(), times: z.number().int().default(1) }),
  output: z.object({ said: z.string() }),
  weight: 'light',
  effects: 'outside',
  run: (_ctx, { text }) => ({ said: text }),
});
const plugin = (changes: Partial<Record<keyof PluginDefinition, unknown>> = {}) => ({
  definition: {
    ...definePlugin({ name: 'talk', version: '1.2.3', apiVersion: 1, steps: { say } }),
    ...changes,
  } as PluginDefinition,
  source: { kind: 'built-in' as const, specifier: 'talk' },
});
const listed = { kind: 'listed' as const, specifier: './other.ts', file: '/somewhere/other.ts' };

describe('registry', () => {
  it('describes a step type with defaults filled in', () => {
    expect(createRegistry([plugin()]).get('talk.say')).toMatchObject({
      id: 'talk.say',
      plugin: 'talk',
      pluginVersion: '1.2.3',
      description: 'Says it.',
      weight: 'light',
      effects: 'outside',
      isolation: 'inline',
      workspace: 'none',
      idempotency: 'none',
      definition: say,
    });
  });

  it('runs plugins that are not built in by default in a process of their own', () => {
    expect(createRegistry([{ ...plugin(), source: listed }]).get('talk.say')?.isolation).toBe('process');
  });

  it('publishes JSON Schemas of input and output', () => {
    const step = createRegistry([plugin()]).get('talk.say');
    expect(step?.inputSchema).toMatchObject({
      type: 'object',
      properties: { text: { type: 'string' }, times: { default: 1 } },
      required: ['text'],
      additionalProperties: false,
    });
    expect(step?.outputSchema).toMatchObject({ required: ['said'] });
  });

  it("takes a plugin's own JSON Schema, and allows anything where a schema says nothing", () => {
    const mute = { '~standard': { version: 1 as const, vendor: 'own', validate: (value: unknown) => ({ value }) } };
    const own = defineStep({ input: mute, output: mute, inputJsonSchema: { type: 'string' }, run: () => 1 });
    const step = createRegistry([plugin({ steps: { own } })]).get('talk.own');
    expect([step?.inputSchema, step?.outputSchema]).toEqual([{ type: 'string' }, {}]);
  });

  it('survives a schema that JSON Schema cannot say', () => {
    const odd = defineStep({ input: z.object({ when: z.date() }), output: z.unknown(), run: () => 1 });
    expect(createRegistry([plugin({ steps: { odd } })]).get('talk.odd')?.inputSchema).toMatchObject({
      properties: { when: {} },
    });
  });

  it('finds what is wrong with an input, with its path', async () => {
    const step = createRegistry([plugin()]).get('talk.say');
    expect(await step?.validateInput({ text: 'x' })).toEqual([]);
    const problems = await step?.validateInput({ text: 1, more: true });
    expect(problems?.map(({ path }) => path)).toEqual([['text'], []]);
    expect(problems?.[1]?.message).toContain('more');
  });

  it('lists step types by id', () => {
    const registry = createRegistry([plugin({ steps: { b: say, a: say } }), plugin({ name: 'alpha' })]);
    expect(registry.list().map(({ id }) => id)).toEqual(['alpha.say', 'talk.a', 'talk.b']);
    expect(registry.get('talk.c')).toBeUndefined();
  });

  it.each([
    [[plugin(), { ...plugin(), source: listed }], './other.ts: plugin name talk is taken by talk'],
    [[plugin({ apiVersion: 2 })], 'apiVersion is 2, this version of Cronwright speaks 1'],
    [[plugin({ name: 'Talk it' })], 'name is "Talk it", expected ^[a-z]'],
    [[plugin({ version: 'one' })], 'version is "one", expected a semantic version'],
    [[plugin({ steps: { 'Bad-name': say } })], 'step name is "Bad-name"'],
    [
      [plugin({ steps: { say: { ...say, weight: 'medium' } } })],
      'steps.say.weight is "medium", expected light or heavy',
    ],
    [[plugin({ steps: { say: { ...say, run: undefined, input: {} } } })], 'steps.say.run is missing'],
  ])('refuses %#: %s', (plugins, says) => {
    expect(() => createRegistry(plugins)).toThrow(
      expect.objectContaining({ code: 'invalid_config', message: expect.stringContaining(says) }),
    );
  });
});
