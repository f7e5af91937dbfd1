// The example task-prompts: three tasks become subtasks and prompts, and every requirement is looked up in the prompt of its category.
import type { Api, Example, FinishedRun, ModelQuestion, PreparedExample } from '../example.ts';

const tasks = [
  {
    title: 'Invoice API',
    description: `Customers can create, edit and delete invoices. Each invoice has a number, a due date and several line items.
A line item has a quantity and a price. Managers approve invoices before they are sent.
Overdue invoices must be reported within 24 hours. Provide GET /invoices/{id}/pdf to download the document.`,
    requirements: ['Invoice numbers must be unique', 'Test coverage of at least 85 %'],
    project_rules: { ids: 'UUID v7' },
  },
  {
    title: 'Recipe sharing platform',
    description: `Users register, log in and publish recipes with ingredients and photos. Users can rate and comment on recipes,
search recipes by ingredient and bookmark them. A recipe belongs to a user.`,
  },
  {
    title: 'Library lending service',
    description: `Members borrow and return books. Librarians add books, remove them and manage members.
A book has a title, an author and an ISBN. A loan belongs to a member.`,
    requirements: ['A member may borrow at most 5 books'],
  },
];

const example: Example = {
  name: 'task-prompts',
  title: 'Prompts to carry out a task, from its words',
  needs: [],
  async prepare(): Promise<PreparedExample> {
    const runs = tasks.map((inputs, i) => ({ pipeline: i === 2 ? 'task-prompts-python' : 'task-prompts', inputs }));
    return { env: {}, runs, check };
  },
  model,
};

export default example;

interface Subtask {
  id: string;
  category: string;
  requirements: string[];
}

async function check(finished: readonly FinishedRun[], api: Api): Promise<string[]> {
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const run of finished) {
    if (run.state !== 'completed')
      throw new Error(`the run ${run.id} is ${run.state}: ${JSON.stringify(run.run.error)}`);
    const subtasks = run.steps.find(({ step }) => step === 'decompose')?.output as { subtasks: Subtask[] } | undefined;
    const all = subtasks?.subtasks ?? [];
    await checkPrompts(run, all, api);
    seen.add(JSON.stringify(all));
    lines.push(`${all.length} subtasks in ${new Set(all.map(({ category }) => category)).size} categories`);
  }
  if (seen.size !== tasks.length) throw new Error('different tasks gave the same subtasks');
  return lines;
}

/** Of the two pipelines that one template makes. */
const stacks: Readonly<Record<string, string>> = { 'task-prompts': 'NestJS', 'task-prompts-python': 'FastAPI' };

async function checkPrompts(
  { id, pipeline, artifacts }: FinishedRun,
  subtasks: readonly Subtask[],
  api: Api,
): Promise<void> {
  for (const category of ['DATA_MODEL', 'SERVICE', 'HTTP_API', 'TESTING']) {
    const name = `prompt-${category.toLowerCase().replace('_', '-')}.md`;
    const artifact = artifacts.find((one) => one.name === name);
    if (!artifact) throw new Error(`the run ${id} has no ${name}`);
    const text = Buffer.from(await api.bytes(`/runs/${id}/artifacts/${artifact.id}`)).toString();
    const own = subtasks.filter((one) => one.category === category);
    const missing = own.flatMap(({ requirements }) => requirements).find((requirement) => !text.includes(requirement));
    if (own.length === 0 || missing !== undefined) throw new Error(`${name} of the run ${id} lacks "${missing}"`);
    const stack = stacks[pipeline] ?? '';
    if (!text.includes(stack)) throw new Error(`${name} of the run ${id} does not know ${stack}`);
  }
}

/** As a model might: one subtask a category, what the project gives, and the requirements word by word. */
function model({ system, prompt }: ModelQuestion): string | undefined {
  const question = system.startsWith('You split a task')
    ? subtasksFor
    : system.startsWith('You prepare one subtask')
      ? enrichmentFor
      : system.startsWith('You write one prompt in Markdown')
        ? promptFor
        : undefined;
  return question && JSON.stringify(question(JSON.parse(prompt.slice(prompt.indexOf('\n\n')))));
}

function subtasksFor(question: {
  category: string;
  task: { title: string; description: string; requirements: string[] };
  subtasks_so_far: { id: string }[];
}) {
  const { category, task, subtasks_so_far: known } = question;
  const id = category.toLowerCase().replace('_', '-');
  const description = `What the task says of it: ${task.description}`;
  const requirements = [`${category} of ${task.title}`, ...task.requirements];
  const dependencies = known.map((one) => one.id);
  const more = { requirements, dependencies, estimated_effort_hours: 2, priority: 'medium' };
  return { subtasks: [{ id, category, title: `${category}: ${task.title}`, description, ...more }] };
}

function enrichmentFor(question: { project: object; best_practices: string[] }) {
  const { project_rules: _, ...project } = question.project as { project_rules: unknown };
  return { ...project, best_practices: question.best_practices };
}

function promptFor({ title, subtasks }: { title: string; subtasks: (Subtask & { tech_stack: string[] })[] }) {
  const stack = [...new Set(subtasks.flatMap((one) => one.tech_stack))];
  const requirements = subtasks.flatMap((one) => one.requirements).map((text) => `- ${text}`);
  return { markdown: [`# ${title}`, `With ${stack.join(', ')}`, ...requirements].join('\n') };
}
