// Takes secrets out of what is logged: by the name of a field at any depth, and by their form inside texts.

const mask = '***';
const secretKey =
  /authorization|password|passwd|passphrase|secret|token|cookie|api[-_]?key|credential|private[-_]?key/i;
const secretText = /:\/\/[^\s/"]*@|\b(?:bearer|basic) |(?:password|passwd|secret|token|key|signature)[\w-]*=/i;

/** At least one capital, digit or `=`: "basic authentication" is prose. */
const credentials = /\b([Bb]earer|[Bb]asic|BEARER|BASIC) +(?=[\w+/.~-]*[\dA-Z=])[\w+/=.~-]{6,}/g;

/**
 * A JSON line without secrets. Values of fields whose name says secret become `***`, as do URL userinfo, bearer and basic
 * credentials, and `password=…` in texts. Numbers under a name with `token` stay: they are fencing tokens or counts.
 */
export function redactLine(line: string): string {
  if (!secretKey.test(line) && !secretText.test(line)) return line;
  try {
    return `${JSON.stringify(redactValue(JSON.parse(line)))}\n`;
  } catch {
    return redactText(line);
  }
}

/** A text without URL userinfo, bearer or basic credentials and `password=…` pairs. */
export function redactText(text: string): string {
  return text
    .replace(/:\/\/[^\s/"]*@/g, `://${mask}@`)
    .replace(credentials, `$1 ${mask}`)
    .replace(
      /((?:password|passwd|secret|token|api[-_]?key|access[-_]?key|signature)[\w-]*=)[^&\s"',;]+/gi,
      `$1${mask}`,
    );
}

function redactValue(value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, isSecret(key, inner) ? mask : redactValue(inner)]),
  );
}

function isSecret(key: string, value: unknown): boolean {
  if (value === null || typeof value === 'boolean' || !secretKey.test(key)) return false;
  return typeof value !== 'number' || !/token/i.test(key);
}
