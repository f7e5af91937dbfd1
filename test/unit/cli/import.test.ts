// `cronwright import` up to the daemon: what is read of an older service's files, and what becomes of each job.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jobToRun } from '../../../src/cli/import/job-to-run.ts';
import { type OlderJob, readJobFiles } from '../../../src/cli/import/read-job-files.ts';
import { tempFolder } from '../../support/temp-folder.ts';

function folderWith(files: Record<string, unknown>): string {
  const folder = tempFolder('jobs');
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

const read = (files: Record<string, unknown>) => readJobFiles(folderWith(files));

async function jobOf(fields: object): Promise<OlderJob> {
  const { jobs, unreadable } = await read({ 'a.json': { ID: 'j', Status: 'pending', Prompt: 'A sheet', ...fields } });
  expect(unreadable).toEqual([]);
  return jobs[0] as OlderJob;
}

describe('files of an older service', () => {
  it('may hold one job, a list, or jobs and conversations by id, in any way of writing names', async () => {
    const { jobs, unreadable } = await read({
      'a.json': { ID: 'a', UserID: 'u', Status: 'Pending', CurrentStep: 'Design', Prompt: 'p', ConversationID: 'c-1' },
      'b.json': [{ id: 'b', user_id: 'u', status: 'error', current_step: 'compile', prompt: 'p', retry_count: 2 }],
      'c.json': {
        jobs: { c: { status: 'running', currentStep: 'latex', prompt: 'p', conversationId: 'c-2' } },
        conversations: {
          'c-1': [{ role: 'user', content: 'one' }],
          'c-2': { Messages: [{ Role: 'Assistant', Content: 'two' }] },
        },
      },
      'd.json': { ID: 'd', Status: 'pending', Prompt: 'p', Messages: [{ role: 'system', content: 'own' }] },
      'notes.txt': 'not read',
    });
    expect(unreadable).toEqual([]);
    expect(jobs.map(({ id, status, currentStep }) => [id, status, currentStep])).toEqual([
      ['a', 'pending', 'design'],
      ['b', 'error', 'compile'],
      ['c', 'running', 'latex'],
      ['d', 'pending', 'prompt'],
    ]);
    expect(jobs.map(({ messages }) => messages.map(({ content }) => content))).toEqual([['one'], [], ['two'], ['own']]);
    expect(jobs[1]?.retryCount).toBe(2);
  });

  it('are named with what is wrong, and do not stop the others', async () => {
    const { jobs, unreadable } = await read({
      'empty.json': '',
      'good.json': { ID: 'good', Status: 'pending', Prompt: 'p' },
      'list.json': '3',
      'noid.json': { Status: 'pending', Prompt: 'p' },
      'roles.json': { ID: 'r', Status: 'pending', Prompt: 'p', Messages: [{ role: 'robot', content: '' }] },
      'status.json': { ID: 's', Prompt: 'p' },
      'torn.json': '{"ID": "t"',
      'twice.json': { ID: 'good', Status: 'pending', Prompt: 'other' },
      'type.json': { ID: 'y', Status: ['pending'], Prompt: 'p' },
    });
    expect(jobs.map(({ id }) => id)).toEqual(['good']);
    expect(unreadable.map(({ file, id, why }) => [file, id, why.slice(0, 45)])).toEqual([
      ['empty.json', null, 'it is empty'],
      ['list.json', null, 'expected a job, a conversation or a list of t'],
      ['noid.json', null, 'ID is missing'],
      ['roles.json', 'r', 'Messages[0] has the role robot, expected one '],
      ['status.json', 's', 'Status is missing'],
      ['torn.json', null, expect.stringMatching(/^it is no JSON/)],
      ['type.json', 'y', 'status is a list, expected text'],
      ['twice.json', 'good', 'its ID stands in good.json already'],
    ]);
  });

  it('have to be there', async () => {
    await expect(readJobFiles('/no/such/folder')).rejects.toThrow('/no/such/folder cannot be read');
    await expect(readJobFiles(tempFolder('empty'))).rejects.toThrow('has no file *.json');
  });
});

describe('an older job', () => {
  const convert = async (fields: object, recompile = false) => jobToRun(await jobOf(fields), { recompile });

  it.each([
    ['prompt', {}, []],
    ['design', {}, ['prompt', 'refine']],
    ['latex', { Design: 'words' }, ['prompt', 'refine', 'design']],
    ['compile', { Latex: 'source' }, ['prompt', 'refine', 'design', 'latex']],
  ])('goes on at %s with what was done before it', async (step, fields, kept) => {
    const converted = await convert({ CurrentStep: step, ...fields });
    expect(converted).toMatchObject({
      kind: 'run',
      goesOnAt: step,
      run: { source: 'j', inputs: { prompt: 'A sheet' } },
    });
    expect(converted.kind === 'run' && Object.keys(converted.run.outputs)).toEqual(kept);
  });

  it('keeps a plan as it is, and any other text of a design whole', async () => {
    const plan = { title: 'T', instructions: '', columns: 1, answer_key: false, sections: [] };
    const designOf = async (Design: unknown) => {
      const converted = await convert({ CurrentStep: 'latex', Design });
      if (converted.kind !== 'run') throw new Error(converted.why);
      return (converted.run.outputs.design as { design: { sections: { text: string }[] } }).design;
    };
    expect(await designOf(JSON.stringify(plan))).toEqual(plan);
    expect(await designOf(plan)).toEqual(plan);
    const words = 'word '.repeat(10_000);
    const long = await designOf(words);
    expect(long.sections.map(({ text }) => text).join('')).toBe(words);
    expect(Math.max(...long.sections.map(({ text }) => text.length))).toBeLessThanOrEqual(20_000);
  });

  it('that is completed is left, or compiled again where that is asked for', async () => {
    const done = { Status: 'completed', CurrentStep: 'done', Latex: 'source', PDFURL: '/1.pdf' };
    expect(await convert(done)).toMatchObject({ kind: 'skipped', why: expect.stringContaining('/1.pdf') });
    expect(await convert(done, true)).toMatchObject({ kind: 'run', goesOnAt: 'compile' });
    expect(await convert({ Status: 'aborted' }, true)).toEqual({ kind: 'skipped', why: 'it was aborted' });
  });

  it.each([
    [{ Status: 'dancing' }, 'Status is "dancing"'],
    [{ CurrentStep: 'dance' }, 'CurrentStep is "dance"'],
    [{ Prompt: ' ' }, 'Prompt is missing'],
    [{ CurrentStep: 'latex' }, 'Design is empty'],
    [{ CurrentStep: 'compile', Design: 'd' }, 'Latex is empty'],
  ])('is broken where it has %j', async (fields, why) => {
    expect(await convert(fields)).toMatchObject({ kind: 'broken', why: expect.stringContaining(why) });
  });
});
