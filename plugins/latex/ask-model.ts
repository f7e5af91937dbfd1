// How the steps of this plugin ask: in the conversation of the document, with the fixed text of their kind.
import type { Json, LlmAnswer, StepContext } from 'cronwright/plugin';
import { textBeside } from 'cronwright/plugin';
import { z } from 'zod';

/** What every step that asks may be told. */
export const modelInput = {
  provider: z.string().min(1).optional().describe('Of the settings; default: theirs, and without one the template.'),
  model: z.string().min(1).optional(),
  conversation: z.string().min(1).max(100).default('main').describe('The thread of the run that it goes on with.'),
};

export interface ModelChoice {
  provider?: string | undefined;
  model?: string | undefined;
  conversation: string;
}

/** What all of them declare of themselves. */
export const asksModel = {
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'what was spent on a model is spent',
} as const;

type Kind = 'design' | 'generate' | 'fix' | 'refine' | 'describe' | 'tags';

export function askModel(
  ctx: StepContext,
  kind: Kind,
  { provider, model, conversation }: ModelChoice,
  asked: { question: string; template: string; schema?: { [key: string]: Json } },
): Promise<LlmAnswer> {
  return ctx.llm.ask({
    ...(provider === undefined ? {} : { provider }),
    ...(model === undefined ? {} : { model }),
    system: textBeside(import.meta.url, `./prompts/${kind}.md`),
    messages: [{ role: 'user', content: asked.question }],
    template: asked.template,
    ...(asked.schema === undefined ? {} : { schema: { name: kind, schema: asked.schema } }),
    conversation,
  });
}

/** What an answer cost, as part of a step's output. */
export const spentFields = { model: z.string(), usd: z.number(), prompt_hash: z.string() };

export function spentOn({ provider, model, usd, promptHash }: LlmAnswer) {
  return { model: `${provider}/${model}`, usd, prompt_hash: promptHash };
}

/** A text that was asked for alone, without the fences that models like. */
export function plainAnswer(text: string): string {
  const fenced = /^\s*```[a-zA-Z]*[ \t]*\r?\n([\s\S]*?)\r?\n?```\s*$/.exec(text)?.[1] ?? text;
  return fenced.trim();
}
