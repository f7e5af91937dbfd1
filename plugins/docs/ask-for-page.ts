// Has a model write the page of a module from the page that is made without one, and takes no answer that has lost something.
import { type LlmMessage, type StepContext, StepError, textBeside } from 'cronwright/plugin';
import type { Module, ModuleSymbol } from './analysis.ts';
import { isNamed } from './coverage.ts';
import type { Page } from './read-page.ts';

/** Characters of the page that a model is given: some 10,000 tokens. */
const mostCharacters = 40_000;
const system = textBeside(import.meta.url, './prompts/module-page.md');

export interface AskedPage {
  page: string;
  /** Whether a model wrote it. */
  byModel: boolean;
}

/**
 * `template` is the page as it is made from the module alone: without a model it is the answer. What a model leaves out is asked
 * for once more; an answer that still lacks something is an `item` error `InvalidPage`.
 */
export async function askForPage(
  ctx: StepContext,
  options: { module: Module; template: string; provider: string | undefined; model: string | undefined },
): Promise<AskedPage> {
  const { module, template } = options;
  const messages: LlmMessage[] = [{ role: 'user', content: question(module, template) }];
  const request = {
    system,
    template,
    ...(options.provider === undefined ? {} : { provider: options.provider }),
    ...(options.model === undefined ? {} : { model: options.model }),
  };
  for (let round = 1; ; round++) {
    const answer = await ctx.llm.ask({ ...request, messages: [...messages] });
    if (answer.provider === 'template') return { page: answer.text, byModel: false };
    const page = unwrapped(answer.text);
    const faults = await faultsOf(page, module, template);
    if (faults.length === 0) return { page, byModel: true };
    const told = faults.slice(0, 20).join('; ');
    if (round === 2) {
      const text = `the model's page of ${module.path} cannot be used: ${told}`;
      throw new StepError('item', text, { name: 'InvalidPage', details: { faults: faults.slice(0, 20) } });
    }
    ctx.log.info('the page is asked for once more', { module: module.path, faults: faults.slice(0, 20) });
    messages.push(
      { role: 'assistant', content: answer.text },
      { role: 'user', content: `That page cannot be used: ${told}. Write the whole page again, with this put right.` },
    );
  }
}

function question(module: Module, template: string): string {
  const cut = template.length > mostCharacters;
  const shown = cut ? template.slice(0, template.lastIndexOf('\n', mostCharacters)) : template;
  const names = cut
    ? `\n\nThe page was cut here. All its symbols: ${exported(module)
        .map(({ name }) => name)
        .join(', ')}`
    : '';
  return `The page of the module ${module.path}:\n\n${shown}${names}`;
}

/** Why a page cannot take the place of the template; empty: it can. */
async function faultsOf(text: string, module: Module, template: string): Promise<string[]> {
  // A parser of Markdown, of no use where no model is asked.
  const { readPage } = await import('./read-page.ts');
  const page = readPage('', text);
  const known = readPage('', template);
  const missing = exported(module).filter((symbol) => isNamed(known, symbol) && !isNamed(page, symbol));
  return [
    ...(/^# \S/.test(text) ? [] : ['it does not begin with a heading of the first level']),
    ...missing.map(({ name }) => `it does not name \`${name}\` in a heading or as code`),
    ...inventedLinks(page, known).map((target) => `it links to ${target}, which is not known`),
  ];
}

/** To the web or to other pages; places of the page itself are its own. */
function inventedLinks(page: Page, known: Page): string[] {
  const targets = new Set(known.links.map(({ target }) => target));
  const own = (target: string): boolean => target.startsWith('#') && page.anchors.has(decodeAnchor(target));
  return page.links.map(({ target }) => target).filter((target) => !targets.has(target) && !own(target));
}

function decodeAnchor(target: string): string {
  try {
    return decodeURIComponent(target.slice(1));
  } catch {
    return target.slice(1);
  }
}

function exported(module: Module): ModuleSymbol[] {
  return module.symbols.filter((symbol) => symbol.exported);
}

/** Models like to put a page into a fence, whatever they are told. */
function unwrapped(text: string): string {
  const [, inner] = /^```(?:markdown|md)?\n([\s\S]*)\n```$/.exec(text.trim()) ?? [];
  return `${(inner ?? text).replace(/\r\n/g, '\n').trim()}\n`;
}
