// Turns `--input name=value` into inputs, by the types that the pipeline declares.
import { CronwrightError } from '../domain/errors.ts';
import type { InputDefinition } from '../domain/pipeline.ts';

type Definitions = Readonly<Record<string, Pick<InputDefinition, 'type'>>>;

/**
 * The inputs that the pairs name. `name=text` is read by the declared type (text where it is a string or unknown);
 * `name:=json` is JSON whatever is declared. Throws `invalid_input`.
 */
export function parseInputs(pairs: readonly string[], definitions: Definitions): Record<string, unknown> {
  const inputs: Record<string, unknown> = Object.create(null);
  for (const pair of pairs) {
    const match = /^([^=:]+)(:?=)([\s\S]*)$/.exec(pair);
    if (!match) throw wrongInput(pair, 'name=value, or name:=JSON');
    const [, name = '', sign, text = ''] = match;
    const type = Object.hasOwn(definitions, name) ? definitions[name]?.type : undefined;
    inputs[name] = sign === ':=' ? readJson(pair, text) : readTyped(pair, text, type);
  }
  return { ...inputs };
}

function readTyped(pair: string, text: string, type: InputDefinition['type'] | undefined): unknown {
  switch (type) {
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw wrongInput(pair, 'true or false');
      return text === 'true';
    case 'integer':
    case 'number':
      if (text.trim() === '' || !Number.isFinite(Number(text))) throw wrongInput(pair, `a value of type ${type}`);
      return Number(text);
    case 'array':
    case 'object':
      return readJson(pair, text);
    default:
      return text;
  }
}

function readJson(pair: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw wrongInput(pair, 'JSON after the sign', cause);
  }
}

function wrongInput(pair: string, expected: string, cause?: unknown): CronwrightError {
  return new CronwrightError('invalid_input', `--input: got "${pair}", expected ${expected}`, {
    cause,
    problems: [{ path: '--input', message: 'not accepted', got: pair, expected }],
  });
}
