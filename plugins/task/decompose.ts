// task.decompose: a task becomes subtasks in four categories, one category after the other, with dependencies that hold.
import { defineStep, type Json, type StepContext, StepError, textBeside } from 'cronwright/plugin';
import { z } from 'zod';
import { dependencyProblems, orderOf } from './check-dependencies.ts';
import { checkpointSeconds, keepState } from './keep-state.ts';
import { planSubtasks } from './plan-subtasks.ts';
import { readTask } from './read-task.ts';
import { type Category, categories, type Subtask, schemaOf, subtask, type Task, task } from './subtask.ts';

const input = task.extend({
  coverage: z
    .number()
    .min(0)
    .max(100)
    .default(80)
    .describe('Percent that tests have to reach, where the task names none.'),
  provider: z.string().optional().describe('A provider of `llm.providers`; default: that of the settings.'),
  checkpoint_seconds: checkpointSeconds,
});

const output = z.object({
  title: z.string(),
  subtasks: z.array(subtask).describe('By category: DATA_MODEL, SERVICE, HTTP_API, TESTING.'),
  counts: z.record(z.enum(categories), z.int()).describe('Subtasks by category.'),
  coverage: z.number().describe('Percent that tests have to reach, of the task or else of the input.'),
  order: z.array(z.string()).describe('Ids, each after all that it depends on.'),
  estimated_effort_hours: z.number(),
  left_out: z.array(z.string()).describe('Things of the text without subtasks: there were too many.'),
  provider: z.string().describe('Who wrote them; `template`: the words of the task alone.'),
  usd: z.number(),
});

const answer = z.strictObject({ subtasks: z.array(subtask).min(1).max(200) });
const answerSchema = schemaOf('subtasks', answer);

const kept = z.strictObject({
  done: z.partialRecord(z.enum(categories), z.array(subtask)),
  provider: z.string(),
  usd: z.number(),
});
type Kept = z.infer<typeof kept>;

export const decompose = defineStep({
  description: 'Splits a task into subtasks for data model, service, HTTP API and tests',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'tokens that a model was asked for stay paid',
  async run(ctx, given) {
    const facts = readTask(given);
    const plan = planSubtasks(facts);
    const first: Kept = { done: {}, provider: 'template', usd: 0 };
    const state = await keepState<Kept>(ctx, kept, first, given.checkpoint_seconds);
    try {
      for (const [at, category] of categories.entries()) {
        ctx.signal.throwIfAborted();
        ctx.progress({ done: at, total: categories.length, message: category });
        if (state.state.done[category]) continue;
        const own = plan.subtasks.filter((one) => one.category === category);
        const next = await askFor(ctx, given, category, own, state.state);
        await state.save(next, category);
        for (const one of next.done[category] ?? []) tell(ctx, one);
      }
    } finally {
      await state.stop();
    }
    ctx.progress({ done: categories.length, total: categories.length, message: 'all categories' });
    const { done, provider, usd } = state.state;
    const subtasks = categories.flatMap((category) => done[category] ?? []);
    return {
      title: given.title,
      subtasks,
      counts: Object.fromEntries(categories.map((one) => [one, done[one]?.length ?? 0])) as Record<Category, number>,
      coverage: facts.coverage ?? given.coverage,
      order: orderOf(subtasks),
      estimated_effort_hours: subtasks.reduce((sum, one) => sum + one.estimated_effort_hours, 0),
      left_out: provider === 'template' ? plan.leftOut : [],
      provider,
      usd,
    };
  },
});

async function askFor(
  ctx: StepContext,
  given: Task & { provider?: string | undefined },
  category: Category,
  own: readonly Subtask[],
  before: Kept,
): Promise<Kept> {
  const known = categories.flatMap((one) => before.done[one] ?? []);
  const question = {
    category,
    task: { title: given.title, description: given.description, requirements: given.requirements },
    subtasks_so_far: known.map(({ id, category: of, title }) => ({ id, category: of, title })),
  };
  const answered = await ctx.llm.ask({
    ...(given.provider === undefined ? {} : { provider: given.provider }),
    system: textBeside(import.meta.url, './prompts/decompose.md'),
    messages: [
      { role: 'user', content: `Give the subtasks of the category ${category}.\n\n${JSON.stringify(question)}` },
    ],
    schema: answerSchema,
    template: JSON.stringify({ subtasks: own }),
    // An answer that was refused would be refused again.
    cache: ctx.attempt === 1,
  });
  const subtasks = check(answered.data, category, known);
  return {
    done: { ...before.done, [category]: subtasks },
    provider: answered.provider,
    usd: before.usd + answered.usd,
  };
}

/** Whoever wrote them. Another try may do better, so the error is transient. */
function check(data: Json, category: Category, known: readonly Subtask[]): Subtask[] {
  const read = answer.safeParse(data);
  if (!read.success) throw refused('InvalidAnswer', z.prettifyError(read.error));
  const { subtasks } = read.data;
  const stranger = subtasks.find((one) => one.category !== category);
  if (stranger) throw refused('InvalidAnswer', `"${stranger.id}" is of ${stranger.category}, expected ${category}`);
  const problems = dependencyProblems([...known, ...subtasks]);
  if (problems.length > 0) throw refused('InvalidDependencies', problems.join('; '));
  return subtasks;
}

function refused(name: string, why: string): StepError {
  return new StepError('transient', `the subtasks cannot be used: ${why}`.slice(0, 2_000), { name });
}

function tell(ctx: StepContext, { id, category, title, dependencies, priority }: Subtask): void {
  ctx.event('subtask_generated', { id, category, title, dependencies, priority });
}
