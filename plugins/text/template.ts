// Liquid with a leash: no files, own properties only, unknown names are errors, and limits on size, time and memory.
import { type Json, StepError } from 'cronwright/plugin';
import { Liquid, type LiquidOptions } from 'liquidjs';
import { type Escape, escapeFor } from './escape.ts';

const limits = {
  /** Characters of a template. */
  parseLimit: 500_000,
  /** Milliseconds. */
  renderLimit: 2_000,
  /** Characters that values, loops and filters may make altogether. */
  memoryLimit: 50_000_000,
} as const;

/** `include` and its like find no file, whatever they name. */
const noFiles: NonNullable<LiquidOptions['fs']> = {
  exists: async () => false,
  existsSync: () => false,
  readFile: async (file) => Promise.reject(new Error(`a template cannot include files: ${file}`)),
  readFileSync: (file) => {
    throw new Error(`a template cannot include files: ${file}`);
  },
  resolve: (_root, file) => file,
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
    fs: noFiles,
    relativeReference: false,
    ...(outputEscape ? { outputEscape } : {}),
  });
  engines.set(mode, engine);
  return engine;
}

/** Liquid's messages end with the place; a picture of the template does not belong into one line. */
function describe(error: unknown): string {
  const [line = 'the template is wrong'] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
