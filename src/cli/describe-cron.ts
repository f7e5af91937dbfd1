// A cron expression in words, where the words can be trusted.
import cronstrue from 'cronstrue';

/**
 * The expression in English; undefined where there is nothing to say, or where the describer would say something else
 * than what happens: `H`, either-day patterns, `@every`, wrap-around ranges, `#L`.
 */
export function describeCron(expression: string): string | undefined {
  const text = expression.trim();
  if (text.startsWith('@') || !isDescribable(text)) return undefined;
  try {
    return cronstrue.toString(text, { use24HourTimeFormat: true, verbose: false, dayOfWeekStartIndexZero: true });
  } catch {
    return undefined;
  }
}

function isDescribable(text: string): boolean {
  const fields = text.split(/[ \t]+/);
  const [dayOfMonth = '', , weekday = ''] = fields.slice(-3);
  // Both day fields said: a day matches either, or (with a step from a star) both; the describer does not tell these apart.
  const bothDays = [dayOfMonth, weekday].every((field) => field !== '*' && field !== '?');
  const hashed = /h/i.test(text.replace(/thu/gi, ''));
  return !bothDays && !hashed && !fields.some(wrapsAround) && !fields.some(stepsTooFar);
}

function wrapsAround(field: string): boolean {
  return [...field.matchAll(/(\d+)-(\d+)/g)].some(([, from, to]) => Number(from) > Number(to));
}

/** A step of 90 in minutes means the first value only; the describer says "every 90 minutes". */
function stepsTooFar(field: string, index: number, fields: readonly string[]): boolean {
  const size = [60, 60, 24, 31, 12, 7][index + 6 - fields.length] ?? 0;
  return [...field.matchAll(/\/(\d+)/g)].some(([, step]) => Number(step) >= size);
}
