// Speaks to a daemon for the scripts of this folder: CRONWRIGHT_URL, by default http://127.0.0.1:8080, CRONWRIGHT_TOKEN where it wants one.
const base = `${process.env.CRONWRIGHT_URL ?? 'http://127.0.0.1:8080'}/api/v1`;
const token = process.env.CRONWRIGHT_TOKEN;

/** Resolves to status and body, also of what was refused. */
export async function ask(method, path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
}

async function orThrow(method, path, body, headers) {
  const answer = await ask(method, path, body, headers);
  if (answer.status >= 300) throw new Error(`${method} ${path} → ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

export const get = (path, headers) => orThrow('GET', path, undefined, headers);
export const post = (path, body = {}, headers) => orThrow('POST', path, body, headers);

/** Waits until all of them have ended. */
export async function finished(ids, headers) {
  while (!(await post('/runs/wait', { ids, timeout: 30 }, headers)).done);
}

export const tenant = (name) => ({ 'cronwright-tenant': name });
