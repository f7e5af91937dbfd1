// Takes out of a URL what may be a secret, for all places that show one.

const mask = '***';
const harmlessPostgresParameters: ReadonlySet<string> = new Set([
  'user',
  'sslmode',
  'application_name',
  'connect_timeout',
]);

/**
 * The URL with `***` for password, values of the query and fragment. The user stays in a PostgreSQL URL alone: elsewhere it may
 * be a token. What is no URL is `***` as a whole.
 */
export function maskUrl(text: string): string {
  if (!URL.canParse(text)) return mask;
  const url = new URL(text);
  const isPostgres = url.protocol === 'postgres:' || url.protocol === 'postgresql:';
  if (url.password !== '') url.password = mask;
  if (url.username !== '' && !isPostgres) url.username = mask;
  if (url.hash !== '') url.hash = mask;
  if (url.search !== '') {
    const parameters = url.search.slice(1).split('&');
    url.search = parameters.map((parameter) => maskParameter(parameter, isPostgres)).join('&');
  }
  return url.toString();
}

function maskParameter(parameter: string, isPostgres: boolean): string {
  const [name = '', value] = parameter.split('=', 2);
  // Without a name it is a value alone.
  if (value === undefined) return parameter === '' ? '' : mask;
  return isPostgres && harmlessPostgresParameters.has(name) ? parameter : `${name}=${mask}`;
}
