// The way into the pages for a browser: the token, once.
import { html } from 'hono/html';
import type { Html } from './words.ts';

export function loginPage(next: string, wrong: boolean): Html {
  return html`<form class="login" method="post" action="/login">
<h1>Cronwright</h1>
<p class="dim">This daemon asks for its token (CRONWRIGHT_TOKEN).</p>
${wrong ? html`<p class="error" role="alert">That is not the token.</p>` : ''}
<input type="hidden" name="next" value="${next}">
<label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Go in</button>
</form>`;
}

/** Only a path of this daemon: never another site. */
export function localPath(text: string | null): string {
  return text !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(text) ? text : '/';
}
