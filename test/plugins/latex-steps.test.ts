// The steps of plugin latex that ask a model: what they ask, what they take of an answer, and what they say without one.
import { describe, expect, it } from 'vitest';
import type { DocumentDesign } from '../../plugins/latex/document-design.ts';
import latex from '../../plugins/latex/index.ts';
import { planWorksheet } from '../../plugins/latex/plan-worksheet.ts';
import { renderDocument } from '../../plugins/latex/render-document.ts';
import { repairSource } from '../../plugins/latex/repair-source.ts';
import { createEventBus } from '../../src/observe/events.ts';
import type { Json, LlmAnswer, LlmRequest } from '../../src/steps/api.ts';
import type { Attempt } from '../../src/steps/attempt-services.ts';
import { createObservedStep } from '../../src/steps/observed-step.ts';
import { createRecorded, createRecordingServices } from '../../src/steps/testing/recording-services.ts';
import { hasPdflatex } from '../support/has-pdflatex.ts';
import { errorOf, outputOf, type Ran, runStep, stepOf } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const isThere = hasPdflatex();
const article = (body: string, preamble = '') =>
  `\\documentclass{article}\n${preamble}\\begin{document}\n${body}\n\\end{document}\n`;

/** A step whose model says `text`. */
async function runWithModel(name: string, input: unknown, text: string): Promise<Ran & { asked: LlmRequest[] }> {
  const recorded = createRecorded();
  const folder = tempFolder('workspace');
  const answer = (request: LlmRequest): LlmAnswer => ({
    ...{ text, data: request.schema ? (JSON.parse(text) as Json) : null, provider: 'stub', model: 'm-1' },
    ...{ usage: { promptTokens: 1, completionTokens: 1, cachedTokens: 0 }, usd: 0.01, cached: false, promptHash: 'ab' },
  });
  const host = { apiUrl: undefined, dataDir: folder, allowPrivateHosts: [], programEnv: {} };
  const services = createRecordingServices(recorded, {
    ...{ host, workspaceDir: folder, secrets: {}, llm: answer },
    sql: () => Promise.reject(new Error('none')),
  });
  const attempt: Attempt = {
    ...{
      runId: 'r',
      tenant: 'default',
      pipeline: 'p',
      token: 1,
      step: 's',
      item: undefined,
      attempt: 1,
      idempotencyKey: 'k',
    },
    ...{ dryRun: false, input, env: {}, traceparent: undefined, timeoutMs: 5_000, secrets: [] },
    signal: new AbortController().signal,
  };
  const result = await createObservedStep({ services, events: createEventBus() }).run(stepOf(latex, name), attempt);
  return { result, recorded, workspaceDir: folder, dataDir: folder, asked: recorded.llmRequests };
}

describe('latex.validate_prompt', () => {
  const validate = (prompt: string, rest: object = {}) => runStep('latex.validate_prompt', { prompt, ...rest });

  it('gives the prompt without space around it, its words and its hash', async () => {
    expect(outputOf(await validate('  Create a math worksheet\r\n'))).toMatchObject({
      prompt: 'Create a math worksheet',
      words: 4,
    });
  });

  it.each([
    ['', {}, 'is empty'],
    [' \n\t ', {}, 'is empty'],
    ['x'.repeat(4_001), {}, 'has 4001 characters, allowed are 4000'],
    ['twelve chars', { max_length: 11 }, 'allowed are 11'],
    ['a\u0007b', {}, 'the control character U+0007 as its character 2'],
    ['a\u202eb', {}, 'the control character U+202E'],
    ['?!…', {}, 'no letter and no digit'],
  ])('refuses %j', async (prompt, rest, why) => {
    const error = errorOf(await validate(prompt, rest));
    expect(error).toMatchObject({ name: 'InvalidPrompt', class: 'fatal' });
    expect(error.message).toContain(why);
  });
});

describe('a plan without a model', () => {
  it('is the same for the same prompt, and another one for another', () => {
    const [one, again, other] = ['a math worksheet', 'a math worksheet', 'a math worksheet!'].map(planWorksheet);
    expect(again).toEqual(one);
    expect(other?.sections).not.toEqual(one?.sections);
  });

  it.each([
    ['Create a math worksheet', 'Math worksheet', ['Addition', 'Subtraction', 'Multiplication', 'Division'], 32],
    ['Create a worksheet with 10 addition problems', 'Worksheet with 10 addition problems', ['Addition'], 10],
    ['Make a sheet of fractions and percentages, 7 exercises', undefined, ['Fractions', 'Percentages'], 7],
    ['Create a math worksheet\n\nChange: Make it more minimal', 'Math worksheet', undefined, 16],
    ['A letter to the landlord', 'Letter to the landlord', [''], 0],
  ])('of %j', (prompt, title, sections, exercises) => {
    const plan = planWorksheet(prompt);
    if (title !== undefined) expect(plan.title).toBe(title);
    if (sections !== undefined) expect(plan.sections.map((section) => section.title)).toEqual(sections);
    expect(plan.sections.flatMap((section) => section.exercises)).toHaveLength(exercises);
  });

  it('has right answers', () => {
    const plan = planWorksheet('hard additions, subtractions, multiplications, divisions, equations, 100 problems');
    for (const { question, answer } of plan.sections.flatMap((section) => section.exercises)) {
      const equation = /^(\d+) x \+ (\d+) = (\d+), x = ____$/.exec(question);
      if (equation) {
        expect(Number(equation[1]) * Number(answer) + Number(equation[2])).toBe(Number(equation[3]));
        continue;
      }
      const [, a, sign, b] = /^(\d+) (\S) (\d+) = ____$/.exec(question) ?? [];
      const results: Record<string, number> = {
        '+': Number(a) + Number(b),
        '−': Number(a) - Number(b),
        '×': Number(a) * Number(b),
        '÷': Number(a) / Number(b),
      };
      expect(`${question} ${answer}`).toBe(`${question} ${results[sign ?? '']}`);
    }
  });
});

describe('steps that ask', () => {
  const plan: DocumentDesign = planWorksheet('Create a math worksheet');

  it('ask in the conversation of the run with a fixed text that forbids invention, and have an answer without a model', async () => {
    const asked = await Promise.all([
      runStep('latex.design', { prompt: 'Create a math worksheet' }),
      runStep('latex.generate', { design: plan }),
      runStep('latex.refine', { prompt: 'A worksheet', message: 'Make it more minimal' }),
      runStep('latex.describe', { design: plan }),
      runStep('latex.tags', { design: plan }),
      runStep('latex.fix', { source: article('a & b'), error: 'Misplaced alignment tab character &.', line: 3 }),
    ]);
    const requests = asked.map(({ recorded }) => recorded.llmRequests[0]);
    expect(asked.map(({ result }) => result.kind)).toEqual(asked.map(() => 'completed'));
    for (const request of requests) {
      expect(request?.conversation).toBe('main');
      expect(request?.system).toMatch(/deterministic document (generation )?engine/);
      expect(request?.system).toMatch(/Never invent data/);
      expect(request?.system).toMatch(/[Nn]o explanation, no apology, no Markdown/);
      expect(request?.template).not.toBe('');
    }
    expect(new Set(requests.map((request) => request?.system)).size).toBe(requests.length);
    // Those that answer with a document.
    for (const request of [requests[1], requests[5]]) {
      expect(request?.system).toMatch(/Answer with ONLY .*valid LaTeX/s);
      expect(request?.system).toMatch(/Standard packages only/);
    }
  });

  it('takes a document out of fences and courtesies', async () => {
    const text = `Certainly! Here it is:\n\`\`\`latex\n${article('x')}\`\`\`\nAnything else?`;
    const { result } = await runWithModel('generate', { design: plan }, text);
    expect(result).toMatchObject({ kind: 'completed', output: { source: article('x'), model: 'stub/m-1', usd: 0.01 } });
    const bare = await runWithModel('generate', { design: plan }, `Sure.\n${article('y')}Bye.`);
    expect(bare.result).toMatchObject({ kind: 'completed', output: { source: article('y') } });
  });

  it('asks again where the answer is no document, or no plan', async () => {
    const words = await runWithModel('generate', { design: plan }, 'I am sorry, I cannot do that.');
    expect(errorOf(words)).toMatchObject({ name: 'InvalidAnswer', class: 'transient' });
    const noPlan = await runWithModel('design', { prompt: 'x' }, '{"title": "T"}');
    expect(errorOf(noPlan)).toMatchObject({ name: 'InvalidAnswer', class: 'transient' });
  });

  it('refine asks nobody where nothing is to change', async () => {
    const ran = await runStep('latex.refine', { prompt: 'A worksheet', message: ' ' });
    expect(outputOf(ran)).toMatchObject({ prompt: 'A worksheet', refined: false });
    expect(ran.recorded.llmRequests).toEqual([]);
  });

  it('describes and tags what the plan says', async () => {
    expect(outputOf(await runStep('latex.describe', { design: plan }))).toMatchObject({
      description: 'Math worksheet: 32 exercises on Addition, Subtraction, Multiplication, Division.',
    });
    expect(outputOf(await runStep('latex.tags', { design: plan }))).toMatchObject({
      tags: ['math', 'worksheet', 'addition', 'subtraction', 'multiplication', 'division'],
    });
    const long = await runWithModel('describe', { design: plan }, 'word '.repeat(100));
    expect(outputOf<{ description: string }>(long).description.length).toBeLessThanOrEqual(200);
  });
});

describe('latex.fix without a model', () => {
  const good = article('Text with 5\\% and a\\_b.');
  it.runIf(isThere).each([
    ['an unescaped &', article('Salt & pepper')],
    ['an unescaped _', article('the file a_b')],
    ['an unescaped #', article('number #1')],
    ['a command that is not there', article('one \\frobnicate{two} three')],
    ['a sign of mathematics in text', article('2 \\times 3')],
    ['a formula that is not closed', article('here is $x + 1 and on')],
    ['no end of the document', good.replace('\\end{document}\n', '')],
    [
      'no end of a list and of the document',
      '\\documentclass{article}\n\\begin{document}\n\\begin{itemize}\n\\item a\n',
    ],
    ['a list that is not closed', article('\\begin{itemize}\n\\item a')],
    ['a brace too many', article('so} it is')],
    ['a percent that takes a brace away', article('\\textbf{50% of it}\n\nmore')],
    ['a package that is not there', article('x', '\\usepackage{nosuchpackageanywhere}\n')],
    ['an environment that is not there', article('\\begin{frobnicate}\nx\n\\end{frobnicate}')],
    ['a character that no font has', article('one 中 two')],
    ['no beginning of the document', '\\documentclass{article}\n\\pagestyle{plain}\nText\n\\end{document}\n'],
  ])('repairs %s so that it compiles', async (_fault, source) => {
    const broken = await runStep('latex.compile', { source });
    const error = errorOf(broken);
    const details = error.details as { line: number | null; message: string; snippet: string; log: string };
    const fixed = await runStep('latex.fix', { source, error: details.message, line: details.line, log: details.log });
    const { source: repaired, changes } = outputOf<{ source: string; changes: string[] }>(fixed);
    expect(changes).toHaveLength(1);
    expect(outputOf(await runStep('latex.compile', { source: repaired }))).toMatchObject({ pages: 1 });
  });

  it('says so where it knows no repair, also of a model that changes nothing', async () => {
    const source = article('\\def\\x{\\x}\\x');
    const input = { source, error: 'it did not come to an end' };
    expect(errorOf(await runStep('latex.fix', input))).toMatchObject({ name: 'NotRepaired', class: 'fatal' });
    expect(errorOf(await runWithModel('fix', input, source)).name).toBe('NotRepaired');
    expect(repairSource(source, 'some other error', 1)).toEqual({ source, changes: [] });
  });

  it('shows a model the error, the lines around it and the document', async () => {
    const input = { source: article('a & b'), error: 'Misplaced &', line: 3, snippet: '> 3 | a & b', log: 'the log' };
    const { asked, ...ran } = await runWithModel('fix', input, article('a \\& b'));
    expect(outputOf(ran)).toMatchObject({ source: article('a \\& b'), changes: [] });
    for (const part of ['Misplaced &', '> 3 | a & b', 'the log', article('a & b')]) {
      expect(asked[0]?.messages.at(-1)?.content).toContain(part);
    }
  });
});

describe.runIf(isThere)('the LaTeX of a plan', () => {
  it('compiles whatever its texts say', async () => {
    const nasty = '\\input{/etc/passwd} $x_1^2$ 50% & #1 ~ "q" {} [opt] \\end{document} 中';
    const exercises = [{ question: `[1] ${nasty}`, answer: nasty }];
    const section = { title: nasty, text: `${nasty}\n\n${nasty}`, exercises };
    const design: DocumentDesign = {
      title: nasty,
      instructions: nasty,
      columns: 2,
      answer_key: true,
      sections: [section],
    };
    expect(outputOf(await runStep('latex.compile', { source: renderDocument(design) }))).toMatchObject({ pages: 2 });
  });
});
