// What llm.chat and llm.json have in common: their input, the question they make of it, and what they tell of the answer.
import { createHash } from 'node:crypto';
import { type Json, type LlmAnswer, type LlmRequest, type StepContext, textBeside } from 'cronwright/plugin';
import { z } from 'zod';
import { checkTemplate, renderTemplate } from './render-template.ts';

export const kinds = ['assistant', 'summarize', 'extract', 'translate'] as const;

const longestText = 500_000;

export const questionInput = {
  prompt: z.string().min(1).max(longestText).describe('What is asked.'),
  data: z.json().optional().describe('What it is asked about: put behind the prompt as JSON.'),
  system: z
    .string()
    .min(1)
    .max(longestText)
    .optional()
    .describe('What the model is told to be, instead of the text of `kind`. It is fixed: no expressions.')
    .meta({ 'x-cronwright-no-expressions': true }),
  template: z
    .string()
    .max(longestText)
    .superRefine((text, context) => {
      const problem = checkTemplate(text);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
    })
    .optional()
    .describe('Liquid over `prompt` and `data`: the answer where no model is asked. It holds no ${{ }}.')
    .meta({ 'x-cronwright-no-expressions': true }),
  conversation: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('A thread of the run: what it holds goes before the prompt.'),
  provider: z.string().min(1).max(64).optional().describe('A name under `llm.providers`, or `template`.'),
  model: z.string().min(1).max(200).optional().describe("Default: the provider's."),
  max_tokens: z.int().min(1).max(10_000_000).optional().describe("Of the answer. Default: the provider's."),
  temperature: z.number().min(0).max(2).default(0),
  seed: z.int().default(1),
  cache: z.boolean().default(true).describe('Whether an equal question is answered from there, at no cost.'),
};

export const answerOutput = {
  provider: z.string(),
  model: z.string(),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), cached_tokens: z.int() }),
  usd: z.number().describe('US dollars; 0 where nothing was paid for this answer.'),
  cached: z.boolean().describe('It was there already.'),
  prompt_hash: z.string().describe('SHA-256 of all that decides the answer.'),
};

export interface Question {
  kind: (typeof kinds)[number];
  prompt: string;
  data?: Json | undefined;
  system?: string | undefined;
  template?: string | undefined;
  conversation?: string | undefined;
  provider?: string | undefined;
  model?: string | undefined;
  max_tokens?: number | undefined;
  temperature: number;
  seed: number;
  cache: boolean;
}

/** `unasked` makes the answer of the provider `template` where the pipeline gives no template. */
export function requestOf(question: Question, unasked: (content: string) => string | undefined): LlmRequest {
  const { prompt, data, system, template, conversation, provider, model, max_tokens: maxTokens, ...rest } = question;
  const { kind, temperature, seed, cache } = rest;
  const content = data === undefined ? prompt : `${prompt}\n\n\`\`\`json\n${JSON.stringify(data, null, 2)}\n\`\`\``;
  const made = template === undefined ? unasked(content) : renderTemplate(template, { prompt, data: data ?? null });
  return {
    system: system ?? textBeside(import.meta.url, `./prompts/${kind}.md`),
    messages: [{ role: 'user', content }],
    ...(made === undefined ? {} : { template: made }),
    ...(conversation === undefined ? {} : { conversation }),
    ...(provider === undefined ? {} : { provider }),
    ...(model === undefined ? {} : { model }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    temperature,
    seed,
    cache,
  };
}

/** In a dry run no model is asked: the answer is the template's. */
export async function ask(ctx: StepContext, request: LlmRequest): Promise<LlmAnswer> {
  if (!ctx.dryRun) return ctx.llm.ask(request);
  const { provider = 'the default provider', model = 'its usual model', messages, template = '' } = request;
  const [message] = messages;
  ctx.log.info(`dry run: would ask ${model} of ${provider}`, { prompt: message?.content.slice(0, 1_000) ?? '' });
  return {
    text: template,
    data: null,
    provider: 'template',
    model: 'template',
    usage: { promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
    usd: 0,
    cached: false,
    promptHash: createHash('sha256').update(template).digest('hex'),
  };
}

export function told({ provider, model, usage, usd, cached, promptHash }: LlmAnswer) {
  const { promptTokens, completionTokens, cachedTokens } = usage;
  return {
    provider,
    model,
    usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, cached_tokens: cachedTokens },
    usd,
    cached,
    prompt_hash: promptHash,
  };
}

/** What such a step is taken to cost: as the settings say, nothing where no model is asked. */
export function estimateOf(ctx: StepContext, { provider }: Pick<Question, 'provider'>): { usd: number } {
  return { usd: provider === 'template' ? 0 : (ctx.host.estimatePerItemUsd ?? usualUsd) };
}

const usualUsd = 0.05;
