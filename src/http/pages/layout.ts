// The frame of every page: head, navigation, and the script that renews what stands within it.
import { randomBytes } from 'node:crypto';
import { html, raw } from 'hono/html';
import { htmlResponse } from '../response.ts';
import { assets } from './assets.ts';
import type { Html } from './words.ts';

export interface PageOptions {
  title: string;
  content: Html;
  /** Seconds after which the page renews itself; absent: never. */
  refreshSeconds?: number;
  /** The request asks for the content alone, to put it into a page that is there. */
  fragment?: boolean;
  status?: number;
  /** Without navigation, for who is not in yet. */
  bare?: boolean;
  now: Date;
}

export async function pageResponse(options: PageOptions): Promise<Response> {
  const nonce = randomBytes(16).toString('base64');
  const body = options.fragment ? options.content : whole(options, nonce);
  return htmlResponse(String(await body), nonce, options.status ?? 200);
}

function whole({ title, content, refreshSeconds, bare, now }: PageOptions, nonce: string): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · Cronwright</title>
<link rel="icon" href="${favicon}">
<link rel="stylesheet" href="/assets/cronwright.css?${assets.styleVersion}">
${refreshSeconds === undefined ? '' : html`<noscript><meta http-equiv="refresh" content="${refreshSeconds * 2}"></noscript>`}
</head>
<body>
<header class="top">
<a class="brand" href="/">Cronwright</a>
${bare ? '' : navigation}
<span class="clock" id="freshness" role="status">${now.toISOString().slice(11, 19)} UTC</span>
</header>
<main id="content" data-refresh-seconds="${refreshSeconds ?? 0}">
${content}
</main>
${refreshSeconds === undefined ? '' : html`<script nonce="${nonce}">${raw(assets.refreshScript)}</script>`}
</body>
</html>`;
}

export const navigation = html`<nav aria-label="Pages"><a href="/">Status</a><a href="/runs">Runs</a><a href="/schedules">Schedules</a><a href="/api">API</a></nav>`;

export const favicon =
  "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='6.5' fill='none' stroke='%233a7bd5' stroke-width='2'/><path d='M8 4.5V8l2.5 1.5' fill='none' stroke='%233a7bd5' stroke-width='1.6' stroke-linecap='round'/></svg>";
