// Checks docs.generate with a model: what it is asked, which answers become pages, and that nothing changes without one.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LlmAnswer, LlmRequest } from '../../src/steps/api.ts';
import { answerFromTemplate } from '../../src/steps/llm/answer-from-template.ts';
import { createScratch, runStep, type Scratch, type TestContext, writeFiles } from './git-scratch.ts';

interface Page {
  path: string;
  writer: string;
  sha256: string;
}

let scratch: Scratch;
let context: TestContext;
let asked: LlmRequest[];
let slug: string;
beforeEach(async () => {
  scratch = await createScratch();
  context = scratch.context({ isolation: 'inline' });
  asked = [];
  await writeFiles(context.workspace, {
    'repo/src/shapes.ts': `/** Areas of plane figures. */
/** The area of a circle with this radius. */
export function areaOfCircle(radius: number): number { return 3 * radius; }
export const unit = 'cm';
function hidden() {}
`,
  });
  const { modules } = await runStep<{ modules: { slug: string }[] }>('code.analyze', context, {});
  slug = modules[0]?.slug ?? '';
});
afterEach(() => scratch.remove());

const generate = (input: object = {}) => runStep<Page>('docs.generate', context, { module: slug, ...input });
const page = () => readFile(join(context.workspace, 'docs/modules/src/shapes.ts.md'), 'utf8');

/** A model that says these texts, one after the other. */
function answering(...texts: ((template: string) => string)[]): void {
  context.overrides = {
    ...context.overrides,
    llm: (request: LlmRequest): LlmAnswer => {
      const text = texts[Math.min(asked.length, texts.length - 1)]?.(request.template ?? '') ?? '';
      asked.push(request);
      return { ...answerFromTemplate(request), text, provider: 'openai', model: 'm', usd: 0.01 };
    },
  };
}

describe('docs.generate', () => {
  it('gives the same bytes with the writer template and where no model is configured', async () => {
    const template = await generate({ writer: 'template' });
    const bytes = await page();
    const unconfigured = await generate();
    expect(await page()).toBe(bytes);
    expect([template.writer, unconfigured.writer]).toEqual(['template', 'template']);
    expect(unconfigured).toEqual(template);
  });

  it('takes what a model writes, out of its fence, and asks it with a fixed text, the page and no source code', async () => {
    answering((template) => `\`\`\`markdown\n${template.replace('# `src/shapes.ts`', '# Shapes')}\nAll in cm.\n\`\`\``);
    expect(await generate({ provider: 'big', model: 'm-2' })).toMatchObject({ writer: 'llm' });
    const written = await page();
    expect(written.startsWith('# Shapes\n')).toBe(true);
    expect(written.endsWith('\nAll in cm.\n')).toBe(true);
    const prompt = await readFile(join(import.meta.dirname, '../../plugins/docs/prompts/module-page.md'), 'utf8');
    expect(asked).toMatchObject([{ system: prompt.trimEnd(), provider: 'big', model: 'm-2' }]);
    expect(asked[0]?.messages[0]?.content).toContain('The area of a circle with this radius.');
    expect(asked[0]?.messages[0]?.content).not.toContain('3 * radius');
  });

  it.each([
    ['a symbol is lost', (text: string) => text.replaceAll('unit', 'u'), 'does not name `unit`'],
    ['the title is lost', (text: string) => text.replace(/^# .*\n/, ''), 'heading of the first level'],
    ['a link is invented', (text: string) => `${text}\nSee [more](../more.md).\n`, 'links to ../more.md'],
    [
      'a link to the web is invented',
      (text: string) => `${text}\n<https://example.org/x>\n`,
      'links to https://example.org/x',
    ],
    ['nothing is said', () => '', 'heading of the first level'],
  ])('asks once more where %s, and fails the item where it stays so', async (_, spoil, told) => {
    answering(spoil, (template) => template);
    expect(await generate()).toMatchObject({ writer: 'llm' });
    expect(asked.map(({ messages }) => messages.map(({ role }) => role))).toEqual([
      ['user'],
      ['user', 'assistant', 'user'],
    ]);
    expect(asked[1]?.messages[2]?.content).toContain(told);
    asked.length = 0;
    answering(spoil);
    const before = await page();
    await expect(generate()).rejects.toMatchObject({ name: 'InvalidPage', class: 'item' });
    expect(asked).toHaveLength(2);
    expect(await page()).toBe(before);
  });

  it('lets a page link to its own headings', async () => {
    answering((template) => `${template}\n## More\n\nSee [above](#areaofcircle) and [here](#more).\n`);
    expect(await generate()).toMatchObject({ writer: 'llm' });
    expect(asked).toHaveLength(1);
  });

  it('bounds what it asks of a large module, and still wants all its symbols', async () => {
    const names = Array.from({ length: 900 }, (_, n) => `value${n}`);
    const source = names.map((name) => `/** ${'What it is for. '.repeat(3)} */\nexport const ${name} = 1;\n`).join('');
    await writeFiles(context.workspace, { 'repo/src/shapes.ts': source });
    await runStep('code.analyze', context, {});
    answering((template) => template.replaceAll('value899', 'gone'));
    await expect(generate()).rejects.toMatchObject({ message: expect.stringContaining('`value899`') });
    const { content = '' } = asked[0]?.messages[0] ?? {};
    expect(content.length).toBeLessThan(60_000);
    expect(content).toContain('value899');
  });
});
