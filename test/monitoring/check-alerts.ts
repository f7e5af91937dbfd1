// The alert rules in a running Prometheus: they are evaluated, and those whose condition can be made in minutes fire.
import { eventually } from '../support/daemon-process.ts';
import type { CheckList } from './check-list.ts';
import type { Prometheus, RuleState } from './prometheus-process.ts';
import { readRules } from './shipped-files.ts';

/** To be called when the daemon has been killed. */
export async function checkDown(list: CheckList, prometheus: Prometheus): Promise<void> {
  await list.check('CronwrightDown is pending, then fires, when the daemon is killed', async () => {
    const firing = await eventually(
      'CronwrightDown fires',
      // The one without an instance is of the seconds before Prometheus knew its target.
      async () => (await downAlerts(prometheus)).find(({ state, labels }) => state === 'firing' && labels.instance),
      30_000,
      () => prometheus.output(),
    );
    const passed = 'ALERTS{alertname="CronwrightDown", alertstate="pending", instance!=""}';
    const pending = await prometheus.queryRange(passed, 120);
    if (pending.length === 0) throw new Error('it was never pending');
    return firing.annotations.summary ?? '';
  });
}

export async function checkAlerts(list: CheckList, prometheus: Prometheus): Promise<void> {
  await list.check('every rule is loaded and evaluated without an error', async () => {
    const rules = await prometheus.rules();
    const wrong = rules.filter(({ health, lastError }) => health !== 'ok' || lastError);
    if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
    const [loaded, shipped] = [rules.map(({ name }) => name), readRules().map(({ alert }) => alert)];
    if (loaded.join() !== shipped.join()) throw new Error(`loaded: ${loaded.join(', ')}`);
    return loaded.join(', ');
  });
  await list.check('CronwrightDown is over when the daemon is back', async () => {
    await eventually('no alert', async () => ((await downAlerts(prometheus)).length === 0 ? true : undefined));
    return 'no alert';
  });
  await list.check('CronwrightScheduleMissed names the schedules that were missed', () =>
    names(prometheus, 'CronwrightScheduleMissed', 'schedule', ['good.every-second'], ['nightly.at-two']),
  );
  await list.check('CronwrightPipelineFailing names the pipelines that fail', () =>
    names(prometheus, 'CronwrightPipelineFailing', 'pipeline', ['bad', 'flaky', 'slow'], ['good', 'long']),
  );
  await list.check('CronwrightLoopStalled and CronwrightQueueWaitHigh are quiet', async () => {
    for (const name of ['CronwrightLoopStalled', 'CronwrightQueueWaitHigh']) {
      const { alerts } = await ruleOf(prometheus, name);
      if (alerts.length > 0) throw new Error(`${name}: ${JSON.stringify(alerts)}`);
    }
    return 'minutes are too short for them; promtool test rules sees them fire';
  });
}

/** Waits until alerts fire for all of `expected`; none may stand for one of `others`. */
async function names(
  prometheus: Prometheus,
  rule: string,
  label: string,
  expected: readonly string[],
  others: readonly string[],
): Promise<string> {
  let firing: RuleState['alerts'] = [];
  const found = () => firing.map(({ labels }) => labels[label] ?? '');
  await eventually(
    `${rule} fires`,
    async () => {
      firing = (await ruleOf(prometheus, rule)).alerts.filter(({ state }) => state === 'firing');
      return expected.every((name) => found().includes(name)) ? true : undefined;
    },
    60_000,
    found,
  );
  const wrong = found().filter((name) => others.includes(name));
  if (wrong.length > 0) throw new Error(`it fires for ${wrong.join(', ')}`);
  const silent = firing.filter(({ labels, annotations }) => !annotations.description?.includes(labels[label] ?? '?'));
  if (silent.length > 0) throw new Error(`the description does not name it: ${JSON.stringify(silent)}`);
  return found().join(', ');
}

async function downAlerts(prometheus: Prometheus): Promise<RuleState['alerts']> {
  return (await ruleOf(prometheus, 'CronwrightDown')).alerts;
}

async function ruleOf(prometheus: Prometheus, name: string): Promise<RuleState> {
  const rule = (await prometheus.rules()).find((one) => one.name === name);
  if (!rule) throw new Error(`Prometheus has no rule ${name}`);
  return rule;
}
