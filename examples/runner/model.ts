// The language model that examples ask where they are told to: a local stub, well-behaved or with faults.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { startLlmStub } from '../../test/support/llm-stub.ts';
import type { Example, ModelQuestion } from '../example.ts';

export interface Model {
  /** Base URL of an OpenAI-compatible API, with `/v1`. */
  baseUrl: string;
  apiKey: string;
  name: string;
  /** US dollars per million tokens. */
  prices: { prompt: number; cached: number; completion: number };
}

/** A copy of the example's configuration in `to` whose steps ask that model. */
export async function configWithModel(from: string, to: string, model: Model): Promise<void> {
  await cp(from, to, { recursive: true });
  const file = join(to, 'cronwright.yaml');
  const settings = parseDocument(await readFile(file, 'utf8').catch(() => '{}'));
  const provider = {
    base_url: model.baseUrl,
    api_key: 'MODEL_KEY',
    model: model.name,
    prices: { [model.name]: model.prices },
  };
  settings.setIn(['llm', 'default'], 'model');
  settings.setIn(['llm', 'providers'], { model: provider });
  await writeFile(file, settings.toString());
}

export function environmentFor(model: Model): Record<string, string> {
  return { CRONWRIGHT_SECRET_MODEL_KEY: model.apiKey };
}

export interface ModelServer {
  readonly model: Model;
  /** What it has charged so far. */
  charged(): { prompt: number; completion: number; requests: number; faults: number };
  stop(): Promise<void>;
}

const name = 'stub-1';
const apiKey = 'key-of-the-local-stub';

/** Answers as the examples say that a model would; `faults`: 10 % 429, 5 % 503, 2 % cut streams, by `seed`. */
export async function startModel(
  examples: readonly Example[],
  { faults, seed = 1 }: { faults: boolean; seed?: number },
): Promise<ModelServer> {
  const answerOf = (question: ModelQuestion) => {
    for (const example of examples) {
      const answer = example.model?.(question);
      if (answer !== undefined) return answer;
    }
    return undefined;
  };
  const stub = await startLlmStub({
    keys: [apiKey],
    answer: answerOf,
    ...(faults ? { faults: { seed, rateLimited: 0.1, unavailable: 0.05, cut: 0.02, retryAfterMs: 500 } } : {}),
  });
  return {
    model: { baseUrl: stub.url, apiKey, name, prices: { prompt: 2, cached: 0.5, completion: 8 } },
    charged() {
      const { promptTokens, completionTokens, requests, rateLimited, errors, cut } = stub.counts;
      return { prompt: promptTokens, completion: completionTokens, requests, faults: rateLimited + errors + cut };
    },
    stop: () => stub.stop(),
  };
}
