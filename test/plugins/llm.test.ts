// llm.chat and llm.json: what they ask, what they answer without a model, and the least value that fits a schema.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leastValue } from '../../plugins/llm/least-value.ts';
import type { Json, LlmAnswer, LlmRequest } from '../../src/steps/api.ts';
import { readJsonAnswer } from '../../src/steps/llm/read-json-answer.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';

const asked: LlmRequest[] = [];
/** A model that says this. */
const model = (text: string, data: Json = null): Pick<Overrides, 'llm'> => ({
  llm(request): LlmAnswer {
    asked.push(request);
    const usage = { promptTokens: 10, completionTokens: 5, cachedTokens: 2 };
    return { text, data, provider: 'acme', model: 'm-1', usage, usd: 0.25, cached: false, promptHash: 'abc' };
  },
});
const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 1 } },
  required: ['name', 'age'],
};

describe('llm.chat', () => {
  it('asks with a fixed text, the prompt and the data, at temperature 0, and tells what it took', async () => {
    asked.length = 0;
    const input = { prompt: 'Who is it?', data: { name: 'Ada' }, conversation: 'main', max_tokens: 50 };
    const ran = await runStep('llm.chat', input, model('It is Ada.'));
    expect(outputOf(ran)).toEqual({
      text: 'It is Ada.',
      provider: 'acme',
      model: 'm-1',
      usage: { prompt_tokens: 10, completion_tokens: 5, cached_tokens: 2 },
      usd: 0.25,
      cached: false,
      prompt_hash: 'abc',
    });
    const { system, ...rest } = asked[0] as LlmRequest;
    expect(system).toMatch(/Never invent\s+data/);
    const content = 'Who is it?\n\n```json\n{\n  "name": "Ada"\n}\n```';
    expect(rest).toEqual({
      messages: [{ role: 'user', content }],
      template: `No language model was asked. The question was:\n\n${content}`,
      conversation: 'main',
      maxTokens: 50,
      temperature: 0,
      seed: 1,
      cache: true,
    });
  });

  it('has a text for each kind, each of which forbids to invent, and takes the pipeline’s own', async () => {
    asked.length = 0;
    for (const kind of ['assistant', 'summarize', 'extract', 'translate']) {
      await runStep('llm.chat', { prompt: 'p', kind }, model('x'));
    }
    expect(new Set(asked.map(({ system }) => system)).size).toBe(4);
    for (const { system } of asked) expect(system.replace(/\s+/g, ' ')).toMatch(/never invent data/i);
    await runStep('llm.chat', { prompt: 'p', system: 'You count.' }, model('x'));
    expect(asked.at(-1)?.system).toBe('You count.');
  });

  it('answers without a model from its input alone, the same bytes each time', async () => {
    const input = { prompt: 'Who?', data: [1, 2] };
    const ran = outputOf(await runStep('llm.chat', input));
    expect(ran).toMatchObject({ provider: 'template', usd: 0, text: expect.stringContaining('Who?') });
    expect(outputOf(await runStep('llm.chat', input))).toEqual(ran);
  });

  it('renders a template of the pipeline over prompt and data', async () => {
    const template =
      '{{ prompt }}: {% for n in data.list %}{{ n }}{% unless forloop.last %}, {% endunless %}{% endfor %}';
    const ran = await runStep('llm.chat', { prompt: 'Sorted', data: { list: [1, 2, 3] }, template });
    expect(outputOf(ran)).toMatchObject({ text: 'Sorted: 1, 2, 3' });
    const wrong = await runStep('llm.chat', { prompt: 'p', template: '{{ nobody }}' });
    expect(errorOf(wrong)).toMatchObject({ name: 'TemplateError', class: 'fatal' });
    const unfinished = await runStep('llm.chat', { prompt: 'p', template: '{% if %' });
    expect(errorOf(unfinished)).toMatchObject({ name: 'ValidationError' });
  });

  it('asks nobody in a dry run, and says what it would ask', async () => {
    asked.length = 0;
    const ran = await runStep('llm.chat', { prompt: 'Who?', provider: 'acme' }, { ...model('x'), dryRun: true });
    expect(asked).toEqual([]);
    expect(outputOf(ran)).toMatchObject({ provider: 'template', usd: 0 });
    expect(ran.recorded.log[0]).toMatchObject({ message: 'dry run: would ask its usual model of acme' });
  });

  it.each([
    [{ prompt: '' }, /prompt/],
    [{ prompt: 'p', kind: 'poet' }, /kind/],
    [{ prompt: 'p', temperature: 3 }, /temperature/],
    [{ prompt: 'p', sytem: 'x' }, /sytem/],
  ])('refuses %j', async (input, message) => {
    expect(errorOf(await runStep('llm.chat', input)).message).toMatch(message);
  });
});

describe('llm.json', () => {
  it('asks for the schema, and gives the data', async () => {
    asked.length = 0;
    const ran = await runStep('llm.json', { prompt: 'Who?', schema }, model('{}', { name: 'Ada', age: 36 }));
    expect(outputOf(ran)).toMatchObject({ data: { name: 'Ada', age: 36 }, usd: 0.25 });
    expect(outputOf(ran)).not.toHaveProperty('text');
    expect(asked[0]?.schema).toEqual({ name: 'answer', schema });
  });

  it('gives the least value that fits without a model, or what the template makes', async () => {
    expect(outputOf(await runStep('llm.json', { prompt: 'Who?', schema }))).toMatchObject({
      data: { name: '', age: 1 },
    });
    const template = '{"name": {{ data.who | json }}, "age": 36}';
    const ran = await runStep('llm.json', { prompt: 'Who?', data: { who: 'A "B"' }, schema, template });
    expect(outputOf(ran)).toMatchObject({ data: { name: 'A "B"', age: 36 }, provider: 'template' });
  });

  it('refuses a template that makes no JSON, or none that fits', async () => {
    for (const template of ['nothing', '{"name": 1, "age": 2}']) {
      const ran = await runStep('llm.json', { prompt: 'p', schema, template });
      expect(errorOf(ran)).toMatchObject({ name: 'InvalidTemplate', class: 'fatal' });
    }
    expect(errorOf(await runStep('llm.json', { prompt: 'p', schema: { type: 'text' } })).name).toBe('InvalidSchema');
  });

  it('says where no least value is found', async () => {
    const pattern = { type: 'string', pattern: '^[A-Z]{3}$' };
    expect(errorOf(await runStep('llm.json', { prompt: 'p', schema: pattern })).name).toBe('NoTemplate');
  });

  it('gives data in a dry run, too', async () => {
    const ran = await runStep('llm.json', { prompt: 'p', schema }, { ...model('x'), dryRun: true });
    expect(outputOf(ran)).toMatchObject({ data: { name: '', age: 1 }, provider: 'template' });
  });
});

describe('the least value', () => {
  it.each([
    [{ type: 'string' }, ''],
    [{ type: 'string', minLength: 2 }, '--'],
    [{ type: 'string', format: 'date' }, '1970-01-01'],
    [{ type: 'integer', minimum: 3 }, 3],
    [{ type: 'integer', exclusiveMinimum: 3 }, 4],
    [{ type: 'number', maximum: -2 }, -2],
    [{ type: 'integer', minimum: 7, multipleOf: 5 }, 10],
    [{ type: 'boolean' }, false],
    [{ type: 'null' }, null],
    [{ enum: ['a', 'b'] }, 'a'],
    [{ const: 5 }, 5],
    [{ type: ['string', 'null'] }, ''],
    [{ type: 'array', items: { type: 'integer' } }, []],
    [{ type: 'array', items: { type: 'integer' }, minItems: 2 }, [0, 0]],
    [{ type: 'string', default: 'x' }, 'x'],
    [{ anyOf: [{ type: 'string', pattern: '^z' }, { type: 'integer' }] }, 0],
    [
      {
        type: 'object',
        properties: { a: { $ref: '#/$defs/word' }, b: { type: 'string' } },
        required: ['a'],
        $defs: { word: { type: 'string' } },
      },
      { a: '' },
    ],
    [{ type: 'object', properties: { a: { type: 'integer' } }, minProperties: 1 }, { a: 0 }],
  ])('of %j is %j', async (one, expected) => {
    expect(leastValue(one)).toEqual(expected);
    expect(await readJsonAnswer(JSON.stringify(expected), one as { [key: string]: Json })).toMatchObject({ ok: true });
  });

  it('fits its schema, whatever that is', async () => {
    const leaf = fc.oneof(
      fc.record({ type: fc.constant('string'), minLength: fc.nat(5) }),
      fc.record({ type: fc.constant('integer'), minimum: fc.integer({ min: -50, max: 50 }) }),
      fc.record({ type: fc.constant('number'), maximum: fc.integer({ min: -50, max: 50 }) }),
      fc.constant({ type: 'boolean' }),
      fc.constant({ enum: ['x', 'y'] }),
    );
    const tree = fc.letrec<{ node: object; object: object; array: object }>((tie) => ({
      node: fc.oneof({ maxDepth: 4 }, leaf, tie('object'), tie('array')),
      object: fc
        .dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tie('node'), { maxKeys: 4 })
        .map((properties) => ({ type: 'object', properties, required: Object.keys(properties) })),
      array: fc.tuple(tie('node'), fc.nat(3)).map(([one, minItems]) => ({ type: 'array', items: one, minItems })),
    }));
    await fc.assert(
      fc.asyncProperty(tree.node, async (one) => {
        const value = leastValue(one);
        expect(await readJsonAnswer(JSON.stringify(value), one as { [key: string]: Json })).toMatchObject({ ok: true });
      }),
      { numRuns: 100 },
    );
  });
});
