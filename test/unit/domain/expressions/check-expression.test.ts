// Checks of expressions before anything runs: what passes with which type, and what is refused where.
import { describe, expect, it } from 'vitest';
import { checkExpression } from '../../../../src/domain/expressions/check-expression.ts';
import { fixedScopeTypes, type ScopeTypes, stepScopeType } from '../../../../src/domain/expressions/scope.ts';
import { describeType, typeFromJsonSchema } from '../../../../src/domain/expressions/value-type.ts';

const output = typeFromJsonSchema({
  type: 'object',
  properties: {
    files: { type: 'array', items: { type: 'object', properties: { path: { type: 'string' } } } },
    total: { type: 'integer' },
    ratio: { type: ['number', 'null'] },
    extra: { type: 'object', additionalProperties: true },
    either: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
    words: { type: 'array', items: { type: 'string' } },
    ref: { $ref: '#/definitions/point' },
  },
  additionalProperties: false,
  definitions: { point: { type: 'object', properties: { x: { type: 'number' } }, additionalProperties: false } },
});

const types: ScopeTypes = {
  ...fixedScopeTypes,
  inputs: {
    kind: 'object',
    open: false,
    fields: { count: { kind: 'int' }, name: { kind: 'string' }, ratio: { kind: 'double' }, on: { kind: 'bool' } },
  },
  steps: { kind: 'object', open: false, fields: { list: stepScopeType(output) } },
  env: { kind: 'object', open: false, fields: { TZ: { kind: 'string' } } },
};

describe('a checked expression', () => {
  it.each([
    ['inputs.count', 'integer'],
    ['inputs.count + 1', 'integer'],
    ['inputs.ratio / 2.0', 'number'],
    ['double(inputs.count) * inputs.ratio', 'number'],
    ['inputs.name + "x"', 'string'],
    ['inputs.count > 1 && inputs.on', 'boolean'],
    ['inputs.count > 1.5', 'boolean'],
    ['has(steps.list.output.total)', 'boolean'],
    ['steps.list.output.files', 'list of object'],
    ['steps.list.output.files[0].path', 'string'],
    ['steps.list.output.files.map(f, f.anything)', 'list'],
    ['steps.list.output.words.filter(w, w.startsWith("a"))', 'list of string'],
    ['steps.list.output.words.map(w, w + "!")', 'list of string'],
    ['steps.list.output.ref.x', 'number'],
    ['steps.list.output.extra.some.thing', 'any value'],
    ['steps.list.output.either', 'any value'],
    ['steps.list.output.ratio == null', 'boolean'],
    ['steps.list.error == null || steps.list.error.class == "fatal"', 'boolean'],
    ['schedule != null && schedule.late', 'boolean'],
    ['secrets.ANY', 'string'],
    ['"k" in steps.list.output.extra', 'boolean'],
    ['size(steps.list.output.files)', 'integer'],
    ['timestamp(run.created_at)', 'string'],
    ['inputs.name.matches("^[a-z]+$")', 'boolean'],
    ['[inputs.count, inputs.name]', 'list'],
    ['{"a": inputs.count}', 'object'],
  ])('%s is of type %s', (text, type) => {
    const checked = checkExpression(text, types);
    expect(checked.problems).toEqual([]);
    expect(describeType(checked.type)).toBe(type);
  });

  it.each([
    ['input.count', 0, 'unknown name; did you mean "inputs"?'],
    ['1 + inputs.cuont', 4, 'unknown name; did you mean "count"?'],
    ['steps.lisst.state', 0, 'unknown name; did you mean "list"?'],
    ['steps.list.output.ref.y', 0, 'unknown name'],
    ['steps.list.stat', 0, 'unknown name; did you mean "state"?'],
    ['has(inputs.nothing)', 0, 'unknown name'],
    ['inputs.name.x', 0, 'inputs.name is of type string and has no "x"'],
    ['steps.list.output.files.path', 0, 'steps.list.output.files is of type list of object and has no "path"'],
    ['inputs.name + inputs.count', 0, 'type error: string + int is not possible; convert the other with string(x)'],
    [
      'inputs.count * inputs.ratio',
      0,
      'type error: int * double is not possible; convert one with double(x) or int(x)',
    ],
    ['inputs.on + inputs.on', 0, 'type error: bool + bool is not possible'],
    [
      'inputs.count + steps.list.output.words.size() + inputs.name',
      0,
      'type error: int + string is not possible; convert the other with string(x)',
    ],
    ['inputs.on && inputs.count', 0, "Logical operator requires bool operands, got 'int'"],
    ['shout(inputs.name)', 0, 'there is no function shout(string)'],
    ['inputs.name.shout()', 0, 'there is no function string.shout()'],
    ['inputs.count +', 14, 'not a valid expression: the expression ends too early'],
    ['inputs.name == "a', 15, 'not a valid expression: Unterminated string'],
    ['', 0, 'the expression is empty'],
    ['secrets', 0, 'secrets can only be read one by one, by a name that is written out'],
    ['secrets[inputs.name]', 0, 'secrets can only be read one by one, by a name that is written out'],
    ['(secrets).A', 1, 'secrets can only be read one by one, by a name that is written out'],
    ['item', 0, 'unknown name'],
    ['inputs.name.matches(env.TZ)', 20, 'the pattern of matches() has to be written out'],
    [
      'inputs.name.matches("(a|a)*b")',
      20,
      'the pattern of matches() repeats a group that itself repeats or chooses, which can take for ever',
    ],
    ['inputs.name.matches("[")', 20, 'the pattern of matches() is not a regular expression'],
    [`${'['.repeat(40)}${']'.repeat(40)}`, 32, expect.stringMatching(/^not a valid expression: .*depth/i)],
  ])('%s is refused at %i: %s', (text, start, message) => {
    const { problems, type } = checkExpression(text, types);
    expect(problems.map((problem) => [problem.start, problem.message])).toEqual([[start, message]]);
    expect(type).toEqual({ kind: 'any' });
  });

  it('names every unknown name at once', () => {
    const { problems } = checkExpression('inputs.a + inputs.b', types);
    expect(problems.map(({ got }) => got)).toEqual(['inputs.a', 'inputs.b']);
  });

  it('is refused where lists are walked within one another too deeply', () => {
    const nested = 'steps.list.output.words'.concat('.map(a, steps.list.output.words'.repeat(4), ')'.repeat(4));
    expect(checkExpression(nested, types).problems.map(({ message }) => message)).toEqual([
      'list macros may stand 3 deep in one another, not deeper',
    ]);
  });

  it('lets a hint say more about an unknown name', () => {
    const { problems } = checkExpression('steps.later.state', types, ([, id]) => `${String(id)} comes later`);
    expect(problems).toEqual([{ message: 'later comes later', got: 'steps.later', start: 0 }]);
  });
});
