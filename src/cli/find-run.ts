// The run that somebody means: its full id, the end of one, or `last`.
import { CronwrightError } from '../domain/errors.ts';
import { origins } from '../domain/run.ts';
import type { List, RunAnswer } from './answers.ts';
import type { DaemonClient } from './daemon-client.ts';
import { showUtc } from './show-time.ts';

const fullId = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const partOfId = /^[0-9a-f-]{4,35}$/i;

/** The full id. Parts are looked for among the newest 500 runs and must name exactly one. */
export async function findRunId(daemon: DaemonClient, text: string): Promise<string> {
  if (fullId.test(text)) return text.toLowerCase();
  if (text === 'last') {
    // Of a run and its children it is the run that somebody means.
    const origin = origins.filter((one) => one !== 'parent').join(',');
    const { items } = await daemon.get<List<RunAnswer>>('/runs', { limit: 1, origin });
    if (items[0]) return items[0].id;
    throw new CronwrightError('not_found', 'there is no run yet');
  }
  if (!partOfId.test(text)) {
    throw new CronwrightError(
      'invalid_input',
      `"${text}" is not the id of a run: expected a UUID, 4 or more characters of its end (or beginning), or "last"`,
    );
  }
  const { items } = await daemon.get<List<RunAnswer>>('/runs', { limit: 500 });
  const part = text.toLowerCase();
  const found = items.filter(({ id }) => id.endsWith(part) || id.startsWith(part));
  if (found.length === 1 && found[0]) return found[0].id;
  if (found.length === 0)
    throw new CronwrightError(
      'not_found',
      `none of the newest ${items.length} runs has an id with "${text}" at an end`,
    );
  const some = found.slice(0, 5).map((run) => `  ${run.id}  ${run.pipeline}  ${showUtc(Date.parse(run.created_at))}`);
  throw new CronwrightError('invalid_input', `"${text}" fits ${found.length} runs:\n${some.join('\n')}`);
}
