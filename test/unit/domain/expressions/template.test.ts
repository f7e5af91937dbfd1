// Templates: what a value with expressions becomes, and how it fails.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ScopeTypes } from '../../../../src/domain/expressions/scope.ts';
import { splitTemplate } from '../../../../src/domain/expressions/split-template.ts';
import { compileCondition, compileTemplate } from '../../../../src/domain/expressions/template.ts';
import { createTestScope } from '../../../support/expression-scope.ts';

const scope = createTestScope({ item: { path: 'x' }, index: 4 });

/** The value of a template, or the message of its error. */
function evaluate(value: unknown, types?: ScopeTypes): unknown {
  const result = compileTemplate(value, types).evaluate(scope);
  return result.ok ? result.value : result.error.message;
}

function wrap(expression: string): string {
  return `\${{ ${expression} }}`;
}

describe('a template', () => {
  it('without expressions is static and gives the very same value', () => {
    const value = { a: [1, { b: 'text' }], c: '$ { { no }}' };
    const template = compileTemplate(value);
    expect(template.isStatic).toBe(true);
    expect(template.evaluate(scope)).toEqual({ ok: true, value });
    expect(template.evaluate(scope)).toBe(template.evaluate(scope));
  });

  it('is compiled once per object', () => {
    const value = { a: wrap('inputs.count') };
    expect(compileTemplate(value)).toBe(compileTemplate(value));
  });

  it.each([
    ['inputs.count', 3],
    ['inputs.list', [1, 2, 3]],
    ['inputs.note', null],
    ['inputs.deep', { a: { b: 'end' } }],
    ['item.path', 'x'],
    ['index', 4],
    ['tenant', 'acme'],
    ['run.dry_run', false],
    ['schedule', null],
    ['secrets.TOKEN', 'hunter2'],
    ['inputs["deep"].a["b"]', 'end'],
    ['inputs.list[1]', 2],
    ['steps.list.output.files[1].path', 'b'],
    ['steps.list.output.big', 2 ** 60],
  ])('that is one reference, %s, passes its value on with its type', (expression, value) => {
    expect(evaluate(wrap(expression))).toEqual(value);
  });

  it.each([
    ['inputs.count + 1', 4],
    ['inputs.count / 2', 1],
    ['(inputs).count + (inputs.count)', 6],
    ['inputs . count + 1', 4],
    ['inputs.count > 2 && steps.list.state == "completed"', true],
    ['steps.list.output.files.map(f, f.size)', [4, 6]],
    ['steps.list.output.files.filter(f, f.size > 4).map(f, f.path)', ['b']],
    ['inputs.list.exists(item, item > 2)', true],
    ['{"a": {"b": inputs.count}, "c": [1, "x"]}', { a: { b: 3 }, c: [1, 'x'] }],
    ['has(steps.list.output.nothing)', false],
    ['has(steps.list.output.total) && steps.list.output.total == 2', true],
    ['has(steps.nobody.output.x)', false],
    ['has(inputs.note)', true],
    ['inputs.note == null ? "none" : inputs.note', 'none'],
    ['steps.list.output.?nothing.orValue("other")', 'other'],
    ['size(inputs.list) > 2 || steps.nobody.output.x', true],
    ['cel.bind(x, inputs.count, x * x)', 9],
    ['timestamp("2026-01-01T00:00:00Z") + duration("1h")', '2026-01-01T01:00:00.000Z'],
    ['duration("90s")', '90s'],
    ['"}}" + \'}}\'', '}}}}'],
    ['type(inputs.count) == int', true],
  ])('that is one expression, %s, gives its value', (expression, value) => {
    expect(evaluate(wrap(expression))).toEqual(value);
  });

  it.each([
    [`n=${wrap('inputs.count')}`, 'n=3'],
    [`${wrap('inputs.name')}/${wrap('inputs.name')}`, 'docs/docs'],
    [`[${wrap('inputs.note')}]`, '[]'],
    [`l: ${wrap('inputs.list')}, o: ${wrap('inputs.deep')}`, 'l: [1,2,3], o: {"a":{"b":"end"}}'],
    [`${wrap('run.dry_run')}!`, 'false!'],
    [` ${wrap('inputs.count')}`, ' 3'],
  ])('with text around it, %s, writes values out', (text, value) => {
    expect(evaluate(text)).toBe(value);
  });

  it('goes through lists and objects at any depth', () => {
    const value = { a: [wrap('inputs.count'), { b: `x ${wrap('inputs.name')}` }], c: { d: 1 } };
    expect(evaluate(value)).toEqual({ a: [3, { b: 'x docs' }], c: { d: 1 } });
  });

  it('names the secrets that it reads', () => {
    const template = compileTemplate({
      a: wrap('secrets.A'),
      b: [`${wrap('secrets["B"] + secrets.A')}`],
      c: wrap('inputs.count'),
    });
    expect(template.secrets).toEqual(['A', 'B']);
  });

  it.each([
    ['inputs.nothing', 'inputs.nothing does not exist: inputs is of type object and has no "nothing"'],
    ['inputs.count.x', 'inputs.count.x does not exist: inputs.count is of type number and has no "x"'],
    ['inputs.list[7] + 1', 'inputs.list[7] does not exist: inputs.list is a list of 3 and has no 7'],
    [
      'steps.broken.output.total + 1',
      'steps.broken.output.total does not exist: steps.broken.output is null and has no "total"',
    ],
    ['inputs.count / 0', 'division by zero'],
    ['9007199254740993', 'the result is an integer beyond ±9007199254740991'],
    ['1.0 / 0.0', 'the result is Infinity, which JSON cannot hold'],
    ['b"bytes"', 'the result is neither text, number, boolean, list nor object'],
    ['1 +', 'the expression ends too early'],
    ['constructor', 'constructor does not exist here'],
    ['inputs.__proto__', 'inputs.__proto__ does not exist: inputs is of type object and has no "__proto__"'],
    [
      'inputs.name.constructor',
      'inputs.name.constructor does not exist: inputs.name is of type string and has no "constructor"',
    ],
  ])('of %s fails as a fatal value that names the expression', (expression, message) => {
    const result = compileTemplate({ body: { text: wrap(expression) } }).evaluate(scope);
    expect(result).toEqual({
      ok: false,
      error: { name: 'ExpressionError', class: 'fatal', message: `${wrap(expression)} at body.text: ${message}` },
    });
  });

  it('never repeats a secret in an error', () => {
    for (const expression of [
      'bool(secrets.TOKEN)',
      'int(secrets.TOKEN)',
      'timestamp(secrets.TOKEN)',
      'duration(secrets.TOKEN)',
    ]) {
      const result = compileTemplate(wrap(expression)).evaluate(scope);
      expect(result.ok).toBe(false);
      expect(JSON.stringify(result)).not.toContain('hunter2');
    }
  });

  it('evaluates the same for every order of runs', () => {
    const template = compileTemplate(wrap('inputs.list.map(n, n + inputs.count)'));
    const other = createTestScope({ inputs: { list: [10], count: 1 } });
    expect([scope, other, scope].map((one) => template.evaluate(one))).toEqual([
      { ok: true, value: [4, 5, 6] },
      { ok: true, value: [11] },
      { ok: true, value: [4, 5, 6] },
    ]);
  });

  it('takes whole numbers as doubles where the schema says number', () => {
    const types: ScopeTypes = {
      inputs: { kind: 'object', open: false, fields: { ratio: { kind: 'double' }, count: { kind: 'int' } } },
    };
    expect(evaluate(wrap('inputs.ratio / 4.0'), types)).toBe(0.5);
    expect(evaluate(wrap('inputs.count / 2'), types)).toBe(1);
    expect(evaluate(wrap('inputs.ratio / 4'), types)).toContain('no such overload');
  });

  it('gives back any JSON that goes through CEL', () => {
    const template = compileTemplate(wrap('true ? inputs.value : null'));
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        // CEL has one zero, and an object whose `constructor` is data is none to it.
        fc.pre(!JSON.stringify(value).includes('constructor'));
        const result = template.evaluate(createTestScope({ inputs: { value } }));
        expect(result).toEqual({ ok: true, value: JSON.parse(JSON.stringify(value)) });
      }),
    );
  });
});

describe('a condition', () => {
  it.each([
    ['inputs.count > 2', true],
    [wrap('inputs.count > 3'), false],
    ['true', true],
  ])('%s is %s', (text, value) => {
    expect(compileCondition(text).evaluate(scope)).toEqual({ ok: true, value });
  });

  it('that is neither true nor false fails', () => {
    const result = compileCondition('inputs.count').evaluate(scope);
    expect(result).toMatchObject({
      ok: false,
      error: { class: 'fatal', message: expect.stringContaining('expected true or false, got number') },
    });
  });
});

describe('the segments of a text', () => {
  it('are the text again when put together', () => {
    const piece = fc.constantFrom('${{', '}}', '}', '{', '"', "'", '\\', 'a', ' ', '$', wrap('x'));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('');
        const joined = splitTemplate(text).map((segment) =>
          segment.kind === 'expression' ? `\${{${segment.text}}}` : segment.text,
        );
        expect(joined.join('')).toBe(text);
      }),
    );
  });
});
