// How times, spans, states and numbers are written on the pages.
import { html } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

const units: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** `850 ms`, `4.2 s`, `3 min 20 s`, `2 d 4 h`: the two greatest units. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  let rest = Math.round(ms / 1_000) * 1_000;
  const parts: string[] = [];
  for (const [unit, name] of units) {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** A span by its greatest unit alone. */
export function shortSpan(ms: number): string {
  const [unit, name] = units.find(([size]) => ms >= size) ?? [1_000, 's'];
  return `${Math.max(0, Math.round(ms / unit))} ${name}`;
}

/** `2026-11-22 03:12:44` in UTC; for people, beside the word UTC. */
export function utc(at: Date): string {
  return at.toISOString().slice(0, 19).replace('T', ' ');
}

/** `in 3 min`, `12 s ago`, with the instant behind it. */
export function relative(at: Date, now: Date): Html {
  const ms = at.getTime() - now.getTime();
  const text = ms > 0 ? `in ${shortSpan(ms)}` : ms > -1_000 ? 'now' : `${shortSpan(-ms)} ago`;
  return html`<time datetime="${at.toISOString()}" title="${utc(at)} UTC">${text}</time>`;
}

/** `22 Nov 02:00:00 −05:00` from an ISO text on a wall clock. */
export function wallClock(local: string): string {
  const [, month = '', day = '', time = '', offset = ''] =
    /^\d+-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(.*)$/.exec(local) ?? [];
  const name = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')[Number(month) - 1] ?? '';
  return `${Number(day)} ${name} ${time} ${offset === 'Z' ? '+00:00' : offset.replace('-', '−')}`;
}

const wordOfState: Readonly<Record<string, string>> = {
  rolling_back: 'rolling back',
  rollback_failed: 'rollback failed',
  rolled_back: 'rolled back',
  dead_letter: 'dead letter',
};

/** A state as a badge; colour is never its only sign. */
export function badge(state: string): Html {
  return html`<span class="badge s-${state}">${wordOfState[state] ?? state}</span>`;
}

export function count(n: number): string {
  return n.toLocaleString('en').replaceAll(',', ' ');
}

export function percent(share: number | null): string {
  if (share === null) return '–';
  const value = share * 100;
  // 99.97 % must not read as a round hundred.
  return `${value > 99 && value < 100 ? (Math.floor(value * 10) / 10).toFixed(1) : Math.round(value)} %`;
}

export function shortId(id: string): string {
  return `…${id.slice(-8)}`;
}

/** A tenant is named only where it is not the usual one. */
export function tenantNote(tenant: string): Html {
  return tenant === 'default' ? html`` : html` <span class="dim">(${tenant})</span>`;
}

/** At most `length` characters of one line. */
export function clip(text: string, length: number): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

export function progressBar(value: number, label: string): Html {
  return html`<progress max="100" value="${value}" aria-label="${label}">${value} %</progress>`;
}
