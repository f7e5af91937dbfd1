// Takes secrets out of settings before anyone is shown them: by the name of the setting, and out of URLs.
import { maskUrl } from '../base/mask-url.ts';

const secretName = /secret|token|password|passwd|api[_-]?key|private[_-]?key|credential|authorization/i;
const startOfUrl = /^\s*[a-z][a-z0-9+.-]*:\/\//i;

/** A copy in which values under a secret's name are `***`, and URLs tell no secrets. */
export function maskSecrets(value: unknown, name = ''): unknown {
  if (value === null || value === undefined || typeof value === 'boolean') return value;
  if (secretName.test(name)) return '***';
  if (typeof value === 'string') return startOfUrl.test(value) ? maskUrl(value) : value;
  if (Array.isArray(value)) return value.map((item) => maskSecrets(item, name));
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maskSecrets(inner, key)]));
}
