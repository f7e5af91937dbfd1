// Takes secrets out of settings before anyone is shown them: by the name of the setting, and out of URLs.

const secretName = /secret|token|password|passwd|api[_-]?key|private[_-]?key|credential|authorization/i;
const userInfo = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#@]*)@/i;
const secretParameter = /([?&](?:password|token|secret|sslkey|api_key)=)[^&#]*/gi;

/** A copy in which values under a secret's name and passwords in URLs are `***`. */
export function maskSecrets(value: unknown, name = ''): unknown {
  if (value === null || value === undefined || typeof value === 'boolean') return value;
  if (secretName.test(name)) return '***';
  if (typeof value === 'string') return maskUrl(value);
  if (Array.isArray(value)) return value.map((item) => maskSecrets(item, name));
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maskSecrets(inner, key)]));
}

function maskUrl(text: string): string {
  return text
    .replace(userInfo, (_, scheme: string, user: string) => `${scheme}${user.split(':')[0]}:***@`)
    .replace(secretParameter, '$1***');
}
