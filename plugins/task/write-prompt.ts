// The prompt of one category, as Markdown: made from its subtasks alone, the same bytes for the same subtasks.
import type { Category, EnrichedSubtask } from './subtask.ts';

export interface Project {
  title: string;
  /** Percent of lines that tests have to reach. */
  coverage: number;
}

const headings: Readonly<Record<Category, string>> = {
  DATA_MODEL: 'Data model',
  SERVICE: 'Services',
  HTTP_API: 'HTTP API',
  TESTING: 'Tests',
};

const orders: Readonly<Record<Category, string>> = {
  DATA_MODEL: 'Write the data model: schema, migrations and types. Nothing beyond what stands here.',
  SERVICE: 'Write the services on the data model that is there. No HTTP in them, and nothing beyond what stands here.',
  HTTP_API:
    'Write the HTTP API on the services that are there. No rules of the business in it, and nothing beyond what stands here.',
  TESTING: 'Write the tests, unit tests and end-to-end tests. Change nothing else; a fault that they find is reported.',
};

export function headingOf(category: Category): string {
  return headings[category];
}

export function writePrompt(category: Category, subtasks: readonly EnrichedSubtask[], project: Project): string {
  const all = (of: (one: EnrichedSubtask) => readonly string[]) => [...new Set(subtasks.flatMap(of))];
  const rules = Object.assign({}, ...subtasks.map((one) => one.project_rules)) as Record<string, unknown>;
  const parts = [
    `# ${headings[category]}: ${oneLine(project.title)}`,
    orders[category],
    section(
      'Tech stack',
      all((one) => one.tech_stack),
    ),
    section(
      'Standards',
      all((one) => one.coding_standards),
    ),
    section(
      'Project rules',
      Object.entries(rules).map(([name, rule]) => `${oneLine(name)}: ${textOf(rule)}`),
    ),
    section(
      'Best practices',
      all((one) => one.best_practices),
    ),
    category === 'TESTING'
      ? section('Coverage goals', [`At least ${project.coverage} % of lines`, 'Every requirement below has a test'])
      : '',
    '## Subtasks',
    ...subtasks.map(writeSubtask),
    section('Done when', [
      'Every requirement above is met, and none was added',
      category === 'TESTING' ? 'All tests pass, and each was seen to fail once' : 'The program builds without warnings',
    ]),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function writeSubtask(one: EnrichedSubtask): string {
  const after = one.dependencies.length === 0 ? 'nothing' : one.dependencies.map((id) => `\`${id}\``).join(', ');
  const facts = `\`${one.id}\` · priority ${one.priority} · about ${one.estimated_effort_hours} h · after ${after}`;
  const requirements = one.requirements.map((text) => `- [ ] ${oneLine(text)}`).join('\n');
  return [`### ${oneLine(one.title)}`, facts, oneLine(one.description), requirements].join('\n\n');
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `## ${title}\n\n${lines.map((line) => `- ${oneLine(line)}`).join('\n')}`;
}

function textOf(rule: unknown): string {
  return typeof rule === 'string' ? rule : `\`${JSON.stringify(rule)}\``;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
