// plugin.yaml: what loads, where it may lie, and what is said of mistakes, with line and column.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { problemLine } from '../../../src/domain/problem-line.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createRegistry } from '../../../src/steps/registry.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const good = `name: tool
version: 1.2.3
apiVersion: 1
steps:
  go:
    description: Goes
    command: [sh, ./go.sh, --fast]
    input: { type: object, properties: { n: { type: integer, default: 3 } }, additionalProperties: false }
    output: { type: object }
    effects: outside
    idempotency: keyed
    weight: light
    workspace: writes
`;

function folderWith(files: Record<string, string>): string {
  const folder = tempFolder('manifest');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

/** Each problem of a manifest as one line, from `line:column` on. */
async function problemsOf(text: string, files: Record<string, string> = {}): Promise<string[]> {
  const folder = folderWith({ 'plugin.yaml': text, 'go.sh': '', ...files });
  const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./'], baseDir: folder });
  if (problems.length === 0) createRegistry(plugins);
  return problems.map((problem) =>
    problemLine({ ...problem, message: problem.message.replace('plugin ./: ', '') }).replace('plugin.yaml:', ''),
  );
}

describe('plugin.yaml', () => {
  it('becomes step types like those of every other plugin', async () => {
    const baseDir = folderWith({ 'tools/plugin.yaml': good, 'tools/go.sh': '' });
    const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./tools'], baseDir });
    expect(problems).toEqual([]);
    const step = createRegistry(plugins).get('tool.go');
    expect(step).toMatchObject({
      id: 'tool.go',
      pluginVersion: '1.2.3',
      description: 'Goes',
      isolation: 'process',
      effects: 'outside',
      idempotency: 'keyed',
      weight: 'light',
      workspace: 'writes',
      command: ['sh', join(baseDir, 'tools/go.sh'), '--fast'],
      source: { kind: 'manifest', specifier: './tools', file: join(baseDir, 'tools/plugin.yaml') },
    });
    expect(step?.inputSchema).toMatchObject({ properties: { n: { type: 'integer' } } });
    expect(await step?.validateInput({ n: 'x', m: 1 })).toHaveLength(2);
  });

  it('is found as a file, a folder and a package, also of a folder above', async () => {
    const files = { 'plugin.yaml': good, 'go.sh': '' };
    const packaged = Object.fromEntries(
      Object.entries(files).map(([path, text]) => [`node_modules/@acme/tool/${path}`, text]),
    );
    const folder = folderWith({ ...files, ...packaged, 'config/x': '' });
    for (const listed of ['..', '../plugin.yaml', folder, '@acme/tool']) {
      const { plugins, problems } = await loadPlugins({
        builtIn: {},
        listed: [listed],
        baseDir: join(folder, 'config'),
      });
      expect(problems).toEqual([]);
      expect(plugins.map(({ definition }) => definition.name)).toEqual(['tool']);
    }
  });

  it.each<[what: string, from: string, to: string, ...said: string[]]>([
    [
      'an unknown key',
      'effects:',
      'efects:',
      '10:5: steps.go.efects: unknown key; did you mean "effects"? (got efects',
    ],
    ['a name that is none', 'name: tool', 'name: My Tool', '1:7: name: not an id (got "My Tool"'],
    ['a bad version', '1.2.3', 'one', '2:10: version: not a version (got "one", expected a semantic version'],
    ['another API', 'apiVersion: 1', 'apiVersion: 2', '3:13: apiVersion: the value is not one of those allowed (got 2'],
    ['a step name that is none', '  go:', '  Go-on:', '5:3: steps.Go-on: not an id (got Go-on'],
    ['no command', '[sh, ./go.sh, --fast]', '[]', '7:14: steps.go.command: the number of entries is too small'],
    ['a missing file', './go.sh', './gone.sh', '7:19: steps.go.command[1]: there is no such file (got ./gone.sh'],
    [
      'a script without its bit',
      '[sh, ./go.sh, --fast]',
      '[./go.sh]',
      '7:15: steps.go.command[0]: the file is not execut',
    ],
    [
      'a type that is none',
      'type: integer',
      'type: int',
      '8:53: steps.go.input.properties.n.type: not a type (got "int"',
    ],
    [
      'a keyword that is none',
      '{ type: object }',
      '{ type: object, propertis: {} }',
      '9:29: steps.go.output.propertis: the keyword is not supported; did you mean "properties"?',
    ],
    [
      'a keyword without its type',
      '{ type: object }',
      '{ properties: {} }',
      '9:15: steps.go.output.properties: the keyword needs a type (got properties, expected type: object)',
    ],
    [
      'a keyword of another type',
      '{ type: object }',
      '{ type: string, required: [a] }',
      '9:29: steps.go.output.required: the keyword means nothing beside type string',
    ],
    [
      'what is required of nothing',
      '{ type: object }',
      '{ type: object, required: [a] }',
      '9:40: steps.go.output.required[0]: a required name is not among the properties (got a',
    ],
    [
      'a condition',
      '{ type: object }',
      '{ type: object, if: {}, then: {} }',
      '9:29: steps.go.output.if: the keyword is not supported',
      '9:37: steps.go.output.then',
    ],
    [
      'a bad pattern',
      'type: integer, default: 3',
      'type: string, pattern: "("',
      '8:70: steps.go.input.properties.n.pattern: the value does not fit the keyword (got "(", expected a regular',
    ],
    [
      'an unknown format',
      'type: integer, default: 3',
      'type: string, format: zip',
      '8:69: steps.go.input.properties.n.format: the value does not fit the keyword (got "zip", expected one of: date',
    ],
    [
      'a default of another type',
      'default: 3',
      'default: three',
      '8:71: steps.go.input.properties.n.default: the default does not fit the schema',
    ],
    [
      'values that cannot be compared',
      '{ type: object }',
      '{ enum: [[1]] }',
      '9:21: steps.go.output.enum: not values to compare with',
    ],
    [
      'two combinations',
      '{ type: object }',
      '{ anyOf: [{}], oneOf: [{}] }',
      '9:28: steps.go.output.oneOf: the keyword means nothing beside anyOf',
    ],
    [
      'a reference to nothing',
      '{ type: object }',
      '{ $ref: "#/$defs/x" }',
      '9:21: steps.go.output["$ref"]: it refers to nothing',
    ],
    [
      'a reference to itself',
      '{ type: object }',
      '{ $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }',
      '9:54: steps.go.output["$defs"].a["$ref"]: it leads only back to itself (got "#/$defs/a", expected a schema',
    ],
    [
      'references in a circle',
      '{ type: object }',
      '{ $ref: "#/$defs/a", $defs: { a: { anyOf: [{ type: string }, { $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } } }',
      '9:82: steps.go.output["$defs"].a.anyOf[1]["$ref"]: it leads only back to itself (got "#/$defs/b"',
      '9:111: steps.go.output["$defs"].b["$ref"]: it leads only back to itself (got "#/$defs/a"',
    ],
    ['broken YAML', 'steps:', '\tsteps:', '4:1: a tab is used for indentation'],
  ])('says of %s where it is and what was expected', async (_, from, to, ...said) => {
    const broken = good.replace(from, to);
    expect(broken).not.toBe(good);
    const found = await problemsOf(broken);
    expect(found.map((line, index) => line.slice(0, said[index]?.length))).toEqual(said);
  });

  it('names the plugin and the file, and leaves the others alone', async () => {
    const baseDir = folderWith({
      'a/plugin.yaml': good.replace('name: tool', 'name: 7'),
      'b/plugin.yaml': good,
      'b/go.sh': '',
    });
    const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./a', './b'], baseDir });
    expect(plugins.map(({ definition }) => definition.name)).toEqual(['tool']);
    expect(problems).toMatchObject([{ plugin: './a', file: 'a/plugin.yaml', line: 1, column: 7 }]);
    expect(problems[0]?.message).toMatch(/^plugin \.\/a: /);
  });

  it('takes schemas with all that is enforced, and enforces it', async () => {
    const schema = {
      $defs: { id: { type: 'string', pattern: '^[a-z]+$' } },
      type: 'object',
      properties: {
        id: { $ref: '#/$defs/id' },
        size: { type: ['integer', 'null'], minimum: 1 },
        kind: { enum: ['a', 'b', 1, null] },
        when: { type: 'string', format: 'date-time' },
        tags: { type: 'array', items: { type: 'string' }, uniqueItems: true, maxItems: 2 },
        either: { oneOf: [{ type: 'string' }, { type: 'object', properties: { x: { const: 1 } }, required: ['x'] }] },
        map: { type: 'object', additionalProperties: { type: 'integer' }, propertyNames: { maxLength: 2 } },
      },
      required: ['id'],
      additionalProperties: false,
    };
    const folder = folderWith({
      'plugin.yaml': good
        .replace('{ type: object }', JSON.stringify(schema))
        .replace('[sh, ./go.sh, --fast]', '[./go.sh]'),
      'go.sh': '',
    });
    chmodSync(join(folder, 'go.sh'), 0o755);
    const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./'], baseDir: folder });
    expect(problems).toEqual([]);
    const output = plugins[0]?.definition.steps.go?.output;
    const fits = async (value: unknown) => (await output?.['~standard'].validate(value))?.issues === undefined;
    const whole = {
      id: 'ab',
      size: null,
      kind: 1,
      when: '2026-01-01T00:00:00Z',
      tags: ['x'],
      either: { x: 1 },
      map: { a: 1 },
    };
    expect(await fits(whole)).toBe(true);
    const wrong = [
      { id: 'A' },
      { id: undefined },
      { size: 0 },
      { kind: 2 },
      { when: 'soon' },
      { tags: ['x', 'x'] },
      { either: { x: 2 } },
      { map: { a: 'b' } },
      { map: { abc: 1 } },
      { more: 1 },
    ];
    for (const part of wrong) expect([part, await fits({ ...whole, ...part })]).toEqual([part, false]);
  });
});
