// Builds responses with the headers every answer has; plain objects, because the server writes those without copying.

const common = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const;

/** What is no page loads nothing and is framed by nobody. */
const closedPolicy = "default-src 'none'; frame-ancestors 'none'";

export function jsonResponse(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return textResponse(JSON.stringify(value), 'application/json', status, headers);
}

export function textResponse(
  body: string | ReadableStream<Uint8Array> | null,
  contentType: string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, {
    status,
    headers: { ...common, 'content-security-policy': closedPolicy, 'content-type': contentType, ...headers },
  });
}

/** A page: its own style sheet, its own script by nonce, forms to itself, nothing else. */
export function htmlResponse(
  body: string,
  nonce: string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const policy = [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    `script-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return textResponse(body, 'text/html; charset=utf-8', status, { 'content-security-policy': policy, ...headers });
}

export function redirectTo(location: string, headers: Readonly<Record<string, string>> = {}): Response {
  return textResponse(null, 'text/plain; charset=utf-8', 303, { location, ...headers });
}
