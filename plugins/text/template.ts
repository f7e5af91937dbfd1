// Liquid with a leash: no files, own properties only, unknown names are errors, and limits on size, time and memory.
import { type Json, StepError } from 'cronwright/plugin';
import { Liquid } from 'liquidjs';
import { type Escape, escapeFor } from './escape.ts';

const limits = {
  /** Characters of a template. */
  parseLimit: 500_000,
  /** Milliseconds. */
  renderLimit: 2_000,
  /** Characters that values, loops and filters may make altogether. */
  memoryLimit: 50_000_000,
} as const;

/** Tags that name a file. */
const includingTags = ['include', 'render', 'layout'];

/** Refuses a tag while the template is parsed, so that `check` tells it. */
const refused: Parameters<Liquid['registerTag']>[1] = {
  parse({ name }: { name: string }) {
    throw new Error(`templates cannot include others: {% ${name} %}`);
  },
  render: () => {},
};

const engines = new Map<Escape, Liquid>();

/** What is wrong with a template's syntax, with line and column; undefined where nothing is. */
export function checkTemplate(template: string): string | undefined {
  try {
    engineFor('none').parse(template);
    return undefined;
  } catch (error) {
    return describe(error);
  }
}

/** Throws a fatal `TemplateError` that names line and column. */
export function renderTemplate(template: string, values: Readonly<Record<string, Json>>, mode: Escape): string {
  try {
    return String(engineFor(mode).parseAndRenderSync(template, values));
  } catch (error) {
    throw new StepError('fatal', describe(error), { name: 'TemplateError', cause: error });
  }
}

function engineFor(mode: Escape): Liquid {
  const known = engines.get(mode);
  if (known) return known;
  const outputEscape = escapeFor(mode);
  const engine = new Liquid({
    ...limits,
    ownPropertyOnly: true,
    strictVariables: true,
    strictFilters: true,
    // Whatever a template names, there is no other.
    templates: {},
    relativeReference: false,
    ...(outputEscape ? { outputEscape } : {}),
  });
  for (const tag of includingTags) engine.registerTag(tag, refused);
  engines.set(mode, engine);
  return engine;
}

/** Liquid's messages end with the place; a picture of the template does not belong into one line. */
function describe(error: unknown): string {
  const [line = 'the template is wrong'] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
