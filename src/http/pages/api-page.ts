// The API page: its description to read and to try, by Swagger UI from files of this daemon, nothing from elsewhere.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { html } from 'hono/html';
import { packageRoot } from '../../base/package-root.ts';
import { CronwrightError } from '../../domain/errors.ts';
import type { Mount } from '../create-http-app.ts';
import { textResponse } from '../response.ts';
import { favicon, navigation } from './layout.ts';

interface AssetFile {
  path: string;
  contentType: string;
}

const css = 'text/css; charset=utf-8';
const javascript = 'text/javascript; charset=utf-8';
const own = join(packageRoot, 'src', 'http', 'assets');
/** Put there by the build. */
const swaggerUi = join(packageRoot, 'dist', 'swagger-ui');
const files: Readonly<Record<string, AssetFile>> = {
  'swagger-ui.css': { path: join(swaggerUi, 'swagger-ui.css'), contentType: css },
  'swagger-ui-bundle.js': { path: join(swaggerUi, 'swagger-ui-bundle.js'), contentType: javascript },
  'api-page.css': { path: join(own, 'api-page.css'), contentType: css },
  'api-page.js': { path: join(own, 'api-page.js'), contentType: javascript },
};

/** Swagger UI writes styles into its elements; scripts are this daemon's files only. */
const policy = [
  "default-src 'none'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "script-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** `version` is Cronwright's own: the files change with it alone. */
export function mountApiPage(mount: Mount, version: string): void {
  const tag = createHash('sha256').update(version).digest('hex').slice(0, 8);
  mount('GET', '/api', async () =>
    textResponse(String(await page(tag)), 'text/html; charset=utf-8', 200, { 'content-security-policy': policy }),
  );
  for (const [name, file] of Object.entries(files)) {
    let content: string | undefined;
    mount('GET', `/assets/${name}`, () => {
      content ??= read(name, file);
      return textResponse(content, file.contentType, 200, { 'cache-control': 'public, max-age=31536000' });
    });
  }
}

function read(name: string, { path }: AssetFile): string {
  if (existsSync(path)) return readFileSync(path, 'utf8');
  throw new CronwrightError('not_found', `${name} is not built: run \`npm run build\` in the checkout`);
}

function page(tag: string) {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API · Cronwright</title>
<link rel="icon" href="${favicon}">
<link rel="stylesheet" href="/assets/swagger-ui.css?${tag}">
<link rel="stylesheet" href="/assets/api-page.css?${tag}">
</head>
<body>
<header>
<a class="brand" href="/">Cronwright</a>
${navigation}
<a href="/api/openapi.json">openapi.json</a>
</header>
<main id="api"><noscript>This page needs JavaScript; the description itself is <a href="/api/openapi.json">openapi.json</a>.</noscript></main>
<script src="/assets/swagger-ui-bundle.js?${tag}"></script>
<script src="/assets/api-page.js?${tag}"></script>
</body>
</html>`;
}
