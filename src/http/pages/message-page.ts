// A page that only says something: what was not found, what went wrong.
import { html } from 'hono/html';
import type { ProblemDetails } from '../problem.ts';
import type { Html } from './words.ts';

export function messagePage(problem: ProblemDetails): Html {
  return html`<h1>${problem.title}</h1><p>${problem.detail}</p><p><a href="/">Status</a></p>`;
}
