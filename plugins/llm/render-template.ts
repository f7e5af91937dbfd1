// The answers of `template`: Liquid with a leash, over the prompt and the data of the step alone.
import { type Json, StepError } from 'cronwright/plugin';
import { Liquid } from 'liquidjs';

const engine = new Liquid({
  // Characters of a template, milliseconds, characters that loops and filters may make.
  parseLimit: 500_000,
  renderLimit: 2_000,
  memoryLimit: 50_000_000,
  ownPropertyOnly: true,
  strictVariables: true,
  strictFilters: true,
  templates: {},
  relativeReference: false,
});
for (const tag of ['include', 'render', 'layout']) {
  engine.registerTag(tag, {
    parse({ name }: { name: string }) {
      throw new Error(`templates cannot include others: {% ${name} %}`);
    },
    render: () => {},
  });
}

/** What is wrong with its syntax, with line and column; undefined where nothing is. */
export function checkTemplate(template: string): string | undefined {
  try {
    engine.parse(template);
    return undefined;
  } catch (error) {
    return describe(error);
  }
}

/** Throws a fatal `TemplateError` that names line and column. */
export function renderTemplate(template: string, values: { prompt: string; data: Json }): string {
  try {
    return String(engine.parseAndRenderSync(template, values));
  } catch (error) {
    throw new StepError('fatal', describe(error), { name: 'TemplateError', cause: error });
  }
}

function describe(error: unknown): string {
  const [line = 'the template is wrong'] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
