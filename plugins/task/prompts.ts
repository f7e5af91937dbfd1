// task.prompts: one prompt for each category of subtasks, ready to be carried out, as artifacts and in the output.
import { type Artifact, defineStep, type StepContext, StepError, textBeside } from 'cronwright/plugin';
import { z } from 'zod';
import { dependencyProblems } from './check-dependencies.ts';
import { checkpointSeconds, keepState } from './keep-state.ts';
import { type Category, categories, type EnrichedSubtask, enrichedSubtask, schemaOf } from './subtask.ts';
import { headingOf, type Project, writePrompt } from './write-prompt.ts';

const input = z.strictObject({
  title: z.string().trim().min(1).max(300),
  subtasks: z.array(enrichedSubtask).min(1).max(1_000).describe('Outputs of task.enrich.'),
  coverage: z.number().min(0).max(100).default(80).describe('Percent of lines that the tests have to reach.'),
  provider: z.string().optional().describe('A provider of `llm.providers`; default: that of the settings.'),
  checkpoint_seconds: checkpointSeconds,
});

const prompt = z.strictObject({
  category: z.enum(categories),
  title: z.string(),
  artifact: z.string().describe('Id of the artifact with the prompt.'),
  name: z.string().describe('Of the artifact.'),
  bytes: z.int(),
  sha256: z.string(),
  subtasks: z.int(),
  text: z.string().nullable().describe('The prompt; null above 200,000 bytes: read the artifact.'),
});

const output = z.object({
  prompts: z.array(prompt).describe('One for each category that has subtasks.'),
  provider: z.string(),
  usd: z.number(),
});

const answer = z.strictObject({ markdown: z.string().trim().min(1).max(2_000_000) });
const answerSchema = schemaOf('prompt', answer);

const kept = z.strictObject({ written: z.array(prompt.omit({ text: true })), provider: z.string(), usd: z.number() });
type Kept = z.infer<typeof kept>;

const mostTextBytes = 200_000;

export const prompts = defineStep({
  description: 'Writes one implementation-ready prompt for each category of subtasks',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'tokens that a model was asked for stay paid',
  async run(ctx, given) {
    const problems = dependencyProblems(given.subtasks);
    if (problems.length > 0) throw new StepError('fatal', problems.join('; '), { name: 'InvalidDependencies' });
    const present = categories.filter((category) => given.subtasks.some((one) => one.category === category));
    const state = await keepState<Kept>(
      ctx,
      kept,
      { written: [], provider: 'template', usd: 0 },
      given.checkpoint_seconds,
    );
    try {
      for (const [at, category] of present.entries()) {
        ctx.signal.throwIfAborted();
        ctx.progress({ done: at, total: present.length, message: headingOf(category) });
        if (state.state.written.some((one) => one.category === category)) continue;
        const own = given.subtasks.filter((one) => one.category === category);
        await state.save(await write(ctx, category, own, given, state.state), category);
      }
    } finally {
      await state.stop();
    }
    ctx.progress({ done: present.length, total: present.length, message: 'all prompts' });
    const { written, provider, usd } = state.state;
    return { prompts: await Promise.all(written.map((one) => withText(ctx, one))), provider, usd };
  },
});

async function write(
  ctx: StepContext,
  category: Category,
  subtasks: readonly EnrichedSubtask[],
  given: Project & { provider?: string | undefined },
  before: Kept,
): Promise<Kept> {
  const { title, coverage, provider } = given;
  const question = {
    category,
    title,
    ...(category === 'TESTING' ? { coverage_goal_percent: coverage } : {}),
    subtasks,
  };
  const answered = await ctx.llm.ask({
    ...(provider === undefined ? {} : { provider }),
    system: textBeside(import.meta.url, './prompts/prompts.md'),
    messages: [
      { role: 'user', content: `Write the prompt of the category ${category}.\n\n${JSON.stringify(question)}` },
    ],
    schema: answerSchema,
    template: JSON.stringify({ markdown: writePrompt(category, subtasks, given) }),
    cache: ctx.attempt === 1,
  });
  const read = answer.safeParse(answered.data);
  if (!read.success) {
    const text = `the prompt cannot be used: ${z.prettifyError(read.error)}`.slice(0, 2_000);
    throw new StepError('transient', text, { name: 'InvalidAnswer' });
  }
  const name = `prompt-${category.toLowerCase().replace('_', '-')}.md`;
  const artifact = await ctx.artifacts.put({ name, mediaType: 'text/markdown', content: `${read.data.markdown}\n` });
  const written = entryOf(category, artifact, subtasks.length);
  return { written: [...before.written, written], provider: answered.provider, usd: before.usd + answered.usd };
}

function entryOf(category: Category, { id, name, size, sha256 }: Artifact, subtasks: number): Kept['written'][number] {
  return { category, title: headingOf(category), artifact: id, name, bytes: size, sha256, subtasks };
}

async function withText(ctx: StepContext, one: Kept['written'][number]): Promise<z.infer<typeof prompt>> {
  if (one.bytes > mostTextBytes) return { ...one, text: null };
  const { content } = await ctx.artifacts.get(one.artifact);
  return { ...one, text: new TextDecoder().decode(content) };
}
