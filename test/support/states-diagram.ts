// Draws the states of a run from the table in src/domain/run.ts, so that the picture cannot say anything else.
import { nextStates, type RunState, runStates } from '../../src/domain/run.ts';

/** What makes a run go that way, where the states alone do not tell. */
const labels: Readonly<Record<string, string>> = {
  'pending running': 'claim',
  'running pending': 'released, rescued',
  'running retrying': 'run-level retry',
  'running dead_letter': '3 claims, no progress',
  'paused pending': 'resume',
  'rolling_back paused': 'rolled back to a step',
};

/** The block of Mermaid text, with its fences. */
function renderStatesDiagram(): string {
  const arrow = (from: string, to: string, label?: string) =>
    `  ${from} --> ${to}${label === undefined ? '' : `: ${label}`}`;
  const ways = runStates.flatMap((from) => nextStates(from).map((to) => arrow(from, to, labels[`${from} ${to}`])));
  const ends = runStates
    .filter((state: RunState) => nextStates(state).length === 0)
    .map((state) => arrow(state, '[*]'));
  const begin = [
    arrow('[*]', 'scheduled', 'run_at ahead'),
    arrow('[*]', 'pending'),
    arrow('[*]', 'paused', 'its pipeline is'),
  ];
  return ['```mermaid', 'stateDiagram-v2', ...begin, ...ways, ...ends, '```'].join('\n');
}

const block = /(## A run's states\n\n)```mermaid\n[\s\S]*?\n```/;

/** The page with the diagram as it is now. Throws where the page has no place for it. */
export function withStatesDiagram(page: string): string {
  if (!block.test(page)) throw new Error('the page has no diagram under "## A run\'s states"');
  return page.replace(block, (_, heading: string) => `${heading}${renderStatesDiagram()}`);
}
