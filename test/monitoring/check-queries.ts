// Every query of the dashboard, with its variables filled in, asked of a Prometheus until it has something to show.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckList } from './check-list.ts';
import type { Prometheus, Sample } from './prometheus-process.ts';
import { type DashboardQuery, dashboardQueries, labelVariables, readDashboard } from './shipped-files.ts';

/** For all queries together: the sampler measures every 15 s and rates want two of everything; a busy machine takes its time. */
const patienceMs = 90_000;
/** For a query whose turn comes when that is over. */
const leastPatienceMs = 3_000;
/** What Grafana makes of it at a scrape every second; here it also spans the gaps of rare events. */
const rateInterval = '15s';
/** Longer than all of this takes. */
const windowSeconds = 300;

/** Rightly empty in quiet times. Here the condition is made, so that they are seen with something in them. */
const emptyInQuietTimes: Readonly<Record<string, string>> = {
  'Missed by schedule': 'nothing was missed; here the daemon was away',
  'Failures by pipeline': 'nothing failed; here pipelines fail',
  'Newest ends by pipeline / B': 'nothing failed; here pipelines fail',
  'Newest ends by pipeline / C': 'no newest run failed; here those of three pipelines do',
  'Step retries by class': 'nothing was retried; here a step is',
  'Notifications by result': 'nothing was to be told; here failures are, and a pipeline tells',
  'Open waits by kind': 'nobody was asked anything; here a run asks',
  'Tries to undo steps': 'nothing was to be undone; here failures are',
  'annotation Starts': 'no node started; here one did, and moments later it is past',
};

/** All others show something above 0, so that a fallback to 0 is not taken for an answer. */
const zeroHere: Readonly<Record<string, string>> = {
  'Dead letters': 'a dead letter is a run that killed its process three times',
  'Leases lost, runs rescued / A': 'a lease is lost where a process stands still for half a minute',
  'Leases lost, runs rescued / B': 'the node that comes back may rescue its runs before it is first scraped',
  'Stalled schedules': 'a schedule stalls where the node that should decide its times stands still for minutes',
  'Live listeners / A': 'nobody listens here',
  'Live listeners / B': 'nobody who listens is too slow',
};

export async function checkQueries(list: CheckList, prometheus: Prometheus): Promise<void> {
  const dashboard = readDashboard();
  const until = createPatience();
  const values = new Map<string, string>();
  for (const { name, series, label } of labelVariables(dashboard)) {
    await list.check(`variable ${name}`, async () => {
      const found = await until(
        () => prometheus.labelValues(fillIn(series, values), label),
        (all) => (all.length > 0 ? undefined : `no value of ${label} in ${series}`),
      );
      // Of pipelines all are chosen, of the others the first, as a person would.
      values.set(name, name === 'pipeline' ? '.*' : (found[0] ?? ''));
      return found.join(', ');
    });
  }
  const queries = dashboardQueries(dashboard);
  await list.check('exceptions are of queries that exist', () => {
    const exceptions = [...Object.keys(emptyInQuietTimes), ...Object.keys(zeroHere)];
    const unknown = exceptions.filter((name) => !queries.some((query) => query.name === name));
    if (unknown.length > 0) throw new Error(`there is no ${unknown.join(', ')}`);
    return exceptions.join(', ');
  });
  for (const query of queries) await list.check(query.name, () => checkQuery(query, values, prometheus, until));
}

async function checkQuery(
  { name, expr }: DashboardQuery,
  values: ReadonlyMap<string, string>,
  prometheus: Prometheus,
  until: Until,
): Promise<string> {
  const text = fillIn(expr, values);
  const complaint = complaintOf(name in zeroHere ? 0 : Number.MIN_VALUE);
  const range = await until(() => prometheus.queryRange(text, windowSeconds), complaint);
  // What happens at one moment is not there now.
  if (name.startsWith('annotation ')) return `${describe(range)} (${emptyInQuietTimes[name]})`;
  const now = await until(() => prometheus.query(text), complaint);
  const reason = emptyInQuietTimes[name] ?? zeroHere[name];
  return `${describe(range)}; now ${describe(now)}${reason === undefined ? '' : ` (${reason})`}`;
}

function fillIn(expr: string, values: ReadonlyMap<string, string>): string {
  const text = expr
    .replaceAll('$__rate_interval', rateInterval)
    .replace(/\$(\w+)/g, (whole, name: string) => values.get(name) ?? whole);
  const [unknown] = /\$\w+/.exec(text) ?? [];
  if (unknown !== undefined) throw new Error(`the dashboard has no variable ${unknown}: ${expr}`);
  return text;
}

/** Quantiles of series that stood still are NaN; some of them have moved. Infinite is never right. */
function complaintOf(atLeast: number): (samples: readonly Sample[]) => string | undefined {
  return (samples) => {
    const all = samples.flatMap(({ values }) => values);
    if (all.length === 0) return 'an empty result';
    if (all.some((value) => Math.abs(value) === Number.POSITIVE_INFINITY)) return 'an infinite value';
    if (!all.some(Number.isFinite)) return 'no finite value';
    return all.some((value) => value >= atLeast) ? undefined : 'nothing above 0';
  };
}

type Until = <Found>(ask: () => Promise<Found>, wrong: (found: Found) => string | undefined) => Promise<Found>;

/** Asks again and again until nothing is wrong, or time is up. */
function createPatience(): Until {
  const all = performance.now() + patienceMs;
  return async (ask, wrong) => {
    for (const deadline = Math.max(all, performance.now() + leastPatienceMs); ; await sleep(500)) {
      const found = await ask();
      const why = wrong(found);
      if (why === undefined) return found;
      if (performance.now() > deadline) throw new Error(why);
    }
  };
}

function describe(samples: readonly Sample[]): string {
  const finite = samples.flatMap(({ values }) => values).filter(Number.isFinite);
  const show = (value: number) => Number(value.toPrecision(3)).toString();
  const [low, high] = [Math.min(...finite), Math.max(...finite)].map(show);
  return `${samples.length} series, ${low === high ? low : `${low} … ${high}`}`;
}
