// Step docs.describe_object: the document of one object of a database, layer by layer; a crash goes on at the next layer.
import { defineStep, type Json, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type DatabaseObject, describedObject, kindWords } from './database-object.ts';
import { ensureStore, removeVersions, storePlace, storeVersion } from './document-store.ts';
import { code, fence, line } from './markdown.ts';
import { factsOf, type LayerName, layerNames, layers } from './object-layers.ts';

const input = z.strictObject({
  object: describedObject.describe('What pg.describe gives.'),
  layers: z
    .array(z.enum(layerNames))
    .min(1)
    .default([...layerNames]),
  store: storePlace.optional().describe('Where the document is stored once it is whole. Default: only in the output.'),
  keep_after_failure: z
    .boolean()
    .default(false)
    .describe('What is stored stays where the run fails or times out: each document is whole by itself, and paid for.'),
  max_retries: z
    .int()
    .min(0)
    .max(20)
    .default(3)
    .describe(
      'Transient errors of the model, for one object, that are tried again; `retry` of the step has to allow them.',
    ),
  provider: z.string().min(1).optional().describe('Of the settings. Default: `llm.default`, else `template`.'),
  model: z.string().min(1).optional(),
  max_tokens: z.int().min(1).optional().describe('Of one layer.'),
  cache: z.boolean().default(true).describe('Whether answers to the same question are taken from earlier runs.'),
});

const doneLayer = z.object({
  name: z.enum(layerNames),
  status: z.enum(['completed', 'dry_run']),
  duration_ms: z.int(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  usd: z.number(),
  cached: z.boolean(),
  generated_by: z.string(),
});

const output = z.object({
  object: z.object({ id: z.string(), name: z.string(), kind: z.string() }),
  layers: z.array(doneLayer),
  markdown: z.string(),
  duration_ms: z.int(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  usd: z.number(),
  generated_by: z.string().describe('`template`, or provider and model.'),
  stored: z
    .object({ version: z.int(), is_new: z.boolean() })
    .nullable()
    .describe('Null without `store` and in a dry run.'),
});

type Input = z.output<typeof input>;
type DoneLayer = z.infer<typeof doneLayer>;

/** What survives a crash. */
interface State {
  layers: (DoneLayer & { text: string })[];
  /** Transient errors so far. */
  failures: number;
}

export const describeObject = defineStep({
  description: 'Documents one object of a database.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const { object, name, problem } = given.object;
    if (object === null)
      throw new StepError('item', problem ?? `there is no object ${name}`, { name: 'ObjectNotFound' });
    const state = ((await ctx.checkpoint.load()) as State | undefined) ?? { layers: [], failures: 0 };
    try {
      for (const layer of given.layers) await makeLayer(ctx, given, object, layer, state);
      const markdown = pageOf(object, state.layers);
      return {
        ...summaryOf(object, state.layers),
        markdown,
        stored: await storePage(ctx, given, object, state, markdown),
      };
    } catch (error) {
      throw await countFailure(ctx, given, state, error);
    }
  },
  async compensate(ctx, { object, store, keep_after_failure: isKept }) {
    if (store === undefined || object.object === null) return;
    const reason = ctx.compensation?.reason;
    if (isKept && (reason === 'failed' || reason === 'timeout')) {
      ctx.log.info(`the document of ${object.object.id} stays: it is whole`);
      return;
    }
    const sql = await ctx.sql(store.connection);
    await removeVersions(sql, store.table, { objectId: object.object.id, runId: ctx.runId });
  },
});

/** One layer that is not there yet; durable before the next is begun. */
async function makeLayer(
  ctx: StepContext,
  given: Input,
  object: DatabaseObject,
  name: LayerName,
  state: State,
): Promise<void> {
  const done = state.layers.length;
  if (state.layers.some((layer) => layer.name === name)) return;
  ctx.progress({ done, total: given.layers.length, message: `${object.name}: ${name}` });
  const startedAt = performance.now();
  const elapsed = () => Math.round(performance.now() - startedAt);
  try {
    const layer = await (ctx.dryRun ? dryLayer(ctx, object, name) : askLayer(ctx, given, object, name));
    state.layers.push({ ...layer, name, duration_ms: elapsed() });
  } catch (error) {
    tellFailure(ctx, { object_id: object.id, layer: name, duration_ms: elapsed() }, error);
    throw error;
  }
  await ctx.checkpoint.save(state as unknown as Json);
  const { text: _text, ...facts } = state.layers[done] as State['layers'][number];
  ctx.event('layer_completed', { object_id: object.id, ...facts });
}

type Answered = Omit<State['layers'][number], 'name' | 'duration_ms'>;

async function askLayer(ctx: StepContext, given: Input, object: DatabaseObject, name: LayerName): Promise<Answered> {
  const { system, template } = layers[name];
  const answer = await ctx.llm.ask({
    system,
    messages: [{ role: 'user', content: factsOf(object) }],
    template: template(object),
    cache: given.cache,
    ...(given.provider === undefined ? {} : { provider: given.provider }),
    ...(given.model === undefined ? {} : { model: given.model }),
    ...(given.max_tokens === undefined ? {} : { maxTokens: given.max_tokens }),
  });
  const text = answer.text.trim();
  if (text === '') throw new StepError('transient', `the model answered nothing for ${name}`, { name: 'EmptyAnswer' });
  return {
    status: 'completed',
    prompt_tokens: answer.usage.promptTokens,
    completion_tokens: answer.usage.completionTokens,
    usd: answer.usd,
    cached: answer.cached,
    generated_by: answer.provider === 'template' ? 'template' : `${answer.provider}/${answer.model}`,
    text,
  };
}

async function dryLayer(ctx: StepContext, object: DatabaseObject, name: LayerName): Promise<Answered> {
  ctx.log.info(`dry run: would ask for the ${name} of ${object.id}`);
  const text = layers[name].template(object);
  const nothing = { prompt_tokens: 0, completion_tokens: 0, usd: 0, cached: false };
  return { status: 'dry_run', ...nothing, generated_by: 'template', text };
}

async function storePage(ctx: StepContext, given: Input, object: DatabaseObject, state: State, body: string) {
  const { store } = given;
  if (store === undefined) return null;
  if (ctx.dryRun) {
    ctx.log.info(`dry run: would store the document of ${object.id} in ${store.table}`);
    return null;
  }
  const sql = await ctx.sql(store.connection);
  await ensureStore(sql, store.table);
  const { generated_by: generatedBy, usd } = summaryOf(object, state.layers);
  const document = { objectId: object.id, title: object.name, body, runId: ctx.runId, generatedBy, usd };
  const { version, isNew } = await storeVersion(sql, store.table, document);
  return { version, is_new: isNew };
}

function pageOf(object: DatabaseObject, done: State['layers']): string {
  const blocks = [
    `# ${line(object.name)}`,
    `${code(object.id)}, a ${kindWords(object.kind)}.`,
    ...done.flatMap(({ name, text }) => [`## ${layers[name].title(object)}`, text]),
    ...(object.definition === null ? [] : ['## Definition', fence(object.definition, 'sql')]),
  ];
  return `${blocks.join('\n\n')}\n`;
}

function summaryOf(object: DatabaseObject, done: State['layers']) {
  const sum = (of: (layer: DoneLayer) => number) => done.reduce((all, layer) => all + of(layer), 0);
  return {
    object: { id: object.id, name: object.name, kind: object.kind },
    layers: done.map(({ text: _text, ...layer }) => layer),
    duration_ms: sum((layer) => layer.duration_ms),
    prompt_tokens: sum((layer) => layer.prompt_tokens),
    completion_tokens: sum((layer) => layer.completion_tokens),
    // Money has six digits behind the point; sums of binary fractions have more.
    usd: Math.round(sum((layer) => layer.usd) * 1e6) / 1e6,
    generated_by: [...new Set(done.map((layer) => layer.generated_by))].join(', '),
  };
}

function tellFailure(ctx: StepContext, about: { [key: string]: Json }, error: unknown): void {
  if (!(error instanceof StepError) || ctx.signal.aborted) return;
  ctx.event('layer_failed', { ...about, error: error.name, class: error.class, message: error.message });
}

/** What the step fails with: after too many transient errors the object is given up, and the others go on. */
async function countFailure(ctx: StepContext, given: Input, state: State, error: unknown): Promise<unknown> {
  if (!(error instanceof StepError) || error.class !== 'transient' || ctx.signal.aborted) return error;
  state.failures += 1;
  await ctx.checkpoint.save(state as unknown as Json);
  if (state.failures <= given.max_retries) return error;
  const message = `given up after ${given.max_retries} retries: ${error.message}`;
  return new StepError('item', message, { name: error.name, cause: error });
}
