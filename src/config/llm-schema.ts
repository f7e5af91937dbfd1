// What may stand under `llm` in cronwright.yaml: the language models that steps may ask.
import { z } from 'zod';
import { settingDefaults as defaults } from './defaults.ts';
import { duration, hyphenId, says, text } from './schema-parts.ts';

/** What an API key is not mistaken for: a name of a secret. */
const secretName = z
  .string()
  .max(64, says('not the name of a secret', 'a name under `secrets`, never the key itself'))
  .regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, says('not the name of a secret', 'letters, digits, _ and -'))
  .regex(/^(?!sk-)/, says('this looks like a key', 'the name of a secret; its value belongs into the environment'));

const url = z.string().regex(/^https?:\/\/./, says('not an HTTP URL', 'https://api.example.org/v1'));

const baseUrl = z.union([
  url,
  z.strictObject({
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, says('not a name for an environment variable', 'letters, digits and _'))
      .describe('Environment variable that holds it.'),
  }),
]);

const usdPerMillion = z.number().min(0).max(1_000_000);

const price = z
  .strictObject({
    prompt: usdPerMillion.describe('Of the prompt, US dollars a million tokens.'),
    cached: usdPerMillion.optional().describe('Of prompt tokens that the provider had cached. Default: as `prompt`.'),
    completion: usdPerMillion.describe('Of the answer.'),
  })
  .describe('What a model costs, in US dollars a million tokens.');

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, says('not the name of a header', 'X-Title'));
const headerValue = z.union([
  z.string().regex(/^[\x20-\x7e]*$/, says('not a value of a header', 'visible ASCII')),
  z.strictObject({ secret: secretName }),
]);

const provider = z
  .strictObject({
    base_url: baseUrl
      .prefault(defaults['llm.providers.NAME.base_url'].value)
      .describe(
        'Of an OpenAI-compatible API, with its `/v1`; `{env: NAME}` takes it from the environment. It may be private.',
      ),
    api_key: secretName
      .optional()
      .describe('Name of the secret with the key, or `none` where the provider needs no key.'),
    tenant_api_keys: z
      .record(hyphenId, secretName)
      .prefault({})
      .describe('Names of secrets by tenant, instead of `api_key`.'),
    model: text.min(1).max(200).describe('What is asked where a step names no model.'),
    max_tokens: z
      .int()
      .min(1)
      .max(10_000_000)
      .prefault(defaults['llm.providers.NAME.max_tokens'].value)
      .describe('Longest answer where a step does not say.'),
    timeout: duration
      .prefault(defaults['llm.providers.NAME.timeout'].value)
      .describe('Of one call, from its beginning to the end of the answer.'),
    headers: z.record(headerName, headerValue).prefault({}).describe('Sent with each call: text, or `{secret: NAME}`.'),
    stream: z
      .boolean()
      .prefault(defaults['llm.providers.NAME.stream'].value)
      .describe('Whether answers come in pieces, which are progress.'),
    json: z
      .enum(['schema', 'object', 'text'])
      .prefault(defaults['llm.providers.NAME.json'].value)
      .describe(
        'How JSON is asked for: by `response_format` of type json_schema, of json_object, or in words alone. It is checked in any case.',
      ),
    max_tokens_field: z
      .enum(['max_tokens', 'max_completion_tokens'])
      .optional()
      .describe('What the API calls it. Default: max_completion_tokens at api.openai.com, else max_tokens.'),
    omit: z
      .array(z.enum(['temperature', 'seed', 'stream_options', 'max_tokens']))
      .prefault([])
      .describe('What is not sent, for APIs and models that refuse it.'),
    prices: z
      .record(text.min(1), price)
      .prefault({})
      .describe('By model. One that is not listed costs 0, and a warning says so.'),
  })
  .describe('An OpenAI-compatible API.');

export const llmSchema = z
  .strictObject({
    default: hyphenId
      .optional()
      .describe(
        'Provider that is asked where a step names none, or `template`: no model. Default: the only one there is, without any `template`.',
      ),
    providers: z
      .record(
        hyphenId.regex(/^(?!template$)/, says('this name is taken', 'another: `template` asks no model')),
        provider,
      )
      .prefault({})
      .describe('By name.'),
    keep_answers: duration
      .prefault(defaults['llm.keep_answers'].value)
      .describe('How long an answer is given to equal requests of the tenant again, at no cost.'),
    estimate_per_item: z
      .number()
      .min(0)
      .prefault(defaults['llm.estimate_per_item'].value)
      .describe(
        'What a step that asks a model is expected to cost an item where it does not say itself, in US dollars.',
      ),
  })
  .prefault({})
  .describe('Language models that steps may ask (docs/LLM.md).');
