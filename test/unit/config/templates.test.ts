// Pipelines of templates: what their values become, what a version is made of, and how parameters meet names of run time.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expandTemplate } from '../../../src/config/expand-template.ts';
import { loadPipelines } from '../../../src/config/load-pipelines.ts';
import { createTestCatalogue } from '../../support/step-catalogue.ts';

const catalogue = createTestCatalogue();
let configDir: string;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-templates-'));
  for (const folder of ['pipelines', 'templates']) mkdirSync(join(configDir, folder));
});
afterEach(() => rmSync(configDir, { recursive: true }));

const load = () => loadPipelines({ configDir, settings: { calendars: {} }, catalogue });
const write = (name: string, text: string) => writeFileSync(join(configDir, name), text);

const template = `template: backup
parameters:
  zone: { type: string }
  cron: { type: string, default: "0 2 * * *" }
  timeout: { type: string, required: false }
  loud: { type: boolean, default: false }
  greeting: { type: string, default: hello }
description: Backup of \${{ parameters.zone }}
timeout: \${{ parameters.timeout }}
schedules:
  - { id: nightly, cron: "\${{ parameters.cron }}", timezone: "\${{ parameters.zone }}" }
steps:
  - id: say
    uses: test.echo
    if: parameters.loud == false && run.attempt > 0
    with: { message: "\${{ parameters.greeting }} \${{ tenant }}", loud: "\${{ parameters.loud }}" }
`;

const members = `template: backup
with: { greeting: hi }
pipelines:
  - { id: backup-acme, tenant: acme, with: { zone: Asia/Tokyo, timeout: 2h } }
  - { id: backup-globex, tenant: globex, with: { zone: UTC, loud: true, greeting: "\${{ secrets.WORD }}" } }
`;

/** What the steps of a pipeline without a template come to. */
const byHand = `id: backup-acme
tenant: acme
description: Backup of Asia/Tokyo
timeout: 2h
schedules:
  - { id: nightly, cron: "0 2 * * *", timezone: Asia/Tokyo }
steps:
  - id: say
    uses: test.echo
    if: false == false && run.attempt > 0
    with: { message: "hi \${{ tenant }}", loud: false }
`;

describe('a template', () => {
  it('makes as many pipelines as are asked for, each with its own values', async () => {
    write('templates/backup.yaml', template);
    write('pipelines/backups.yaml', members);
    const { pipelines, problems, warnings, templates } = await load();
    expect([...problems, ...warnings]).toEqual([]);
    expect(templates).toBe(1);
    const [acme, globex] = pipelines;
    expect(acme).toMatchObject({
      id: 'backup-acme',
      tenant: 'acme',
      description: 'Backup of Asia/Tokyo',
      timeoutMs: 7_200_000,
      schedules: [{ id: 'backup-acme.nightly', tenant: 'acme', cron: '0 2 * * *', timezone: 'Asia/Tokyo' }],
    });
    expect(acme?.steps[0]?.with).toEqual({ message: 'hi ${' + '{ tenant }}', loud: false });
    expect(acme?.steps[0]?.if).toBe('false == false && run.attempt > 0');
    // Without a value the key is left out, and its default holds.
    expect(globex).toMatchObject({ timeoutMs: 3_600_000, schedules: [{ timezone: 'UTC' }] });
    expect(globex?.steps[0]?.with).toEqual({ message: '${' + '{ secrets.WORD }} ${' + '{ tenant }}', loud: true });
  });

  it('makes a pipeline whose version is that of the same pipeline written by hand', async () => {
    write('templates/backup.yaml', template);
    write(
      'pipelines/backup.yaml',
      'template: backup\nid: backup-acme\ntenant: acme\nwith: { zone: Asia/Tokyo, timeout: 2h, greeting: hi }\n',
    );
    const made = await load();
    rmSync(join(configDir, 'templates', 'backup.yaml'));
    write('pipelines/backup.yaml', byHand);
    const written = await load();
    expect(made.problems).toEqual([]);
    expect(written.problems).toEqual([]);
    expect(made.pipelines).toEqual(written.pipelines);
    expect(made.hash).toBe(written.hash);
  });

  it('changes the hash of the configuration where it changes', async () => {
    write('templates/backup.yaml', template);
    write('pipelines/backup.yaml', 'template: backup\nid: a\nwith: { zone: UTC }\n');
    const before = await load();
    write('templates/backup.yaml', template.replace('0 2 * * *', '0 3 * * *'));
    const after = await load();
    expect(after.hash).not.toBe(before.hash);
    expect(after.pipelines[0]?.version).not.toBe(before.pipelines[0]?.version);
  });
});

describe('the values of parameters', () => {
  const values = {
    n: 3,
    minus: -2,
    list: [1, 'b'],
    text: 'say "}}" \\ \'x\'',
    on: true,
    none: null,
    map: { a: { b: 7 } },
  };
  it.each([
    ['alone keep their type', '${{ parameters.list }}', [1, 'b']],
    [
      'within a text are written out',
      'a ${{ parameters.n }}-${{ parameters.map }}-${{ parameters.none }}.',
      'a 3-{"a":{"b":7}}-.',
    ],
    ['are computed where nothing else is named', '${{ parameters.n * 2 + 1 }}', 7],
    ['have parts', '${{ parameters.map.a.b }}', 7],
    ['leave expressions of run time as they are', '${{ inputs.x }} and ${{parameters.n}}', '${{ inputs.x }} and 3'],
    [
      'become literals beside names of run time',
      '${{ inputs.x - parameters.minus in parameters.list }}',
      '${{ inputs.x - (-2) in [1,"b"] }}',
    ],
    [
      'are quoted as CEL wants it',
      '${{ inputs.x == parameters.text }}',
      '${{ inputs.x == "say \\"}}\\" \\\\ \'x\'" }}',
    ],
    ['can be asked for', '${{ has(parameters.map.a) && inputs.x }}', '${{ true && inputs.x }}'],
    ['are no values of a name that only looks like theirs', '${{ item.parameters.n }}', '${{ item.parameters.n }}'],
    ['are not looked for in plain text', 'parameters.n', 'parameters.n'],
  ])('%s', (_, text, expected) => {
    const { value, problems } = expandTemplate({ with: text }, values);
    expect(problems).toEqual([]);
    expect(value).toEqual({ with: expected });
  });

  it('leave out a key that is null, and nothing else', () => {
    const body = { a: '${{ parameters.none }}', b: null, c: ['${{ parameters.none }}'] };
    expect(expandTemplate(body, values).value).toEqual({ b: null, c: [null] });
  });

  it('are told where there is no such part', () => {
    const { problems } = expandTemplate({ steps: [{ with: '${{ parameters.map.z }}' }] }, values);
    expect(problems).toEqual([
      { path: ['steps', 0, 'with'], finding: expect.objectContaining({ got: 'parameters.map.z', offset: 3 }) },
    ]);
  });
});
