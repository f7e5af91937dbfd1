// What deploy/ ships for Prometheus and Grafana fits together and fits the metrics of the daemon; no Prometheus is needed for that.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { resultOfState, terminalStates } from '../../../src/domain/run.ts';
import { createEventBus } from '../../../src/observe/events.ts';
import { createMetrics } from '../../../src/observe/metrics.ts';
import {
  dashboardQueries,
  labelVariables,
  metricsAsked,
  metricsExposed,
  metricsIn,
  readDashboard,
  readDeployed,
  readRules,
} from '../../monitoring/shipped-files.ts';

interface RuleTests {
  tests: {
    name: string;
    input_series: { series: string }[];
    alert_rule_test: { alertname: string; exp_alerts: unknown[] }[];
  }[];
}

const dashboard = readDashboard();
const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
const drawn = panels.filter(({ type }) => type !== 'row');
const rules = readRules();
const ruleTests = (parse(readDeployed('prometheus/rules.test.yaml')) as RuleTests).tests;
const expressions = [...dashboardQueries(dashboard), ...rules.map(({ alert, expr }) => ({ name: alert, expr }))];

async function registered(): Promise<Set<string>> {
  const metrics = createMetrics({ events: createEventBus(), clock: { now: () => 0 }, version: '0.1.0' });
  return metricsExposed((await metrics.render()).body, true);
}

describe('the metrics asked for', () => {
  it('are all registered by the daemon', async () => {
    const known = await registered();
    expect(metricsAsked().length).toBeGreaterThan(20);
    expect(metricsAsked().filter((name) => !known.has(name))).toEqual([]);
  });

  it('are all registered where the tests of the rules make them up, with the labels they have', async () => {
    const known = await registered();
    const series = ruleTests.flatMap(({ input_series }) => input_series.map((input) => input.series));
    const names = metricsIn(series.join('\n'));
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  it('have only results and outcomes that the daemon gives', () => {
    const values = (label: string) =>
      expressions.flatMap(({ expr }) =>
        [...expr.matchAll(new RegExp(`\\b${label}=~?"([^"]+)"`, 'g'))].flatMap(([, list = '']) => list.split('|')),
      );
    const ends = [...terminalStates.map((state) => resultOfState(state, false)), 'timeout'];
    expect(new Set(values('result'))).toEqual(new Set(ends.filter((word) => word !== 'cancellation')));
    expect(values('state').filter((state) => !['running', 'pending'].includes(state))).toEqual([]);
  });

  it('count every end but success and cancellation as a failure, wherever failures are asked for', () => {
    const bad = new Set([...terminalStates.map((state) => resultOfState(state, false)), 'timeout']);
    for (const word of ['success', 'cancellation']) bad.delete(word);
    const lists = expressions.flatMap(({ expr }) =>
      [...expr.matchAll(/result=~"([^"]+)"/g)].map(([, list = '']) => new Set(list.split('|'))),
    );
    expect(lists.length).toBeGreaterThan(5);
    for (const list of lists) {
      list.delete('success');
      expect(list).toEqual(bad);
    }
  });
});

describe('the dashboard', () => {
  it('has panels with ids of their own, within the grid, none over another', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(taken.get(`${x}/${y}`), `${title} covers it at ${x}/${y}`).toBeUndefined();
          taken.set(`${x}/${y}`, title);
        }
    }
  });

  it('says of every panel what it shows, and in which unit', () => {
    expect(drawn.length).toBeGreaterThan(25);
    expect(new Set(drawn.map(({ title }) => title)).size).toBe(drawn.length);
    for (const { title, type, description, fieldConfig } of drawn) {
      expect(['stat', 'table', 'timeseries'], title).toContain(type);
      expect(description, title).toMatch(/\.$/);
      const units = [
        fieldConfig?.defaults.unit,
        ...(fieldConfig?.overrides.flatMap(({ properties }) => properties.filter(({ id }) => id === 'unit')) ?? []),
      ];
      expect(units.filter(Boolean), title).not.toEqual([]);
      const steps = fieldConfig?.defaults.thresholds?.steps ?? [];
      const [first, ...later] = steps.map(({ value }) => value);
      expect(first, title).toBeNull();
      expect([...later], title).toEqual([...later].sort((a, b) => Number(a) - Number(b)));
    }
  });

  it('asks the data source that was chosen, and each question under a letter of its own', () => {
    const chosen = { type: 'prometheus', uid: '$datasource' };
    for (const { title, datasource, targets = [] } of drawn) {
      expect([datasource, ...targets.map((target) => target.datasource)], title).toEqual(
        Array(targets.length + 1).fill(chosen),
      );
      expect(targets.length, title).toBeGreaterThan(0);
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    }
  });

  it('uses the variables it has, and has those it uses', () => {
    const names = dashboard.templating.list.map(({ name }) => name);
    expect(names).toEqual(['datasource', 'job', 'instance', 'tenant', 'pipeline']);
    const text = JSON.stringify(dashboard);
    const used = new Set([...text.matchAll(/\$(?!__)(\w+)/g)].map(([, name]) => name));
    expect(used).toEqual(new Set(names));
    expect(labelVariables(dashboard).map(({ name }) => name)).toEqual(['job', 'instance', 'tenant', 'pipeline']);
  });

  it('narrows every question to the jobs and nodes that were chosen', () => {
    for (const { name, expr } of dashboardQueries(dashboard)) {
      const selectors = [...expr.matchAll(/(?:\bup|cronwright_\w+)(\{[^}]*\})?/g)];
      expect(selectors.length, name).toBeGreaterThan(0);
      // What is only joined by job and instance is narrowed by the other side.
      const narrow = selectors.filter(([, labels = '']) => labels.startsWith('{job=~"$job", instance=~"$instance"'));
      const joined = expr.includes('on (job, instance)') ? 1 : 0;
      expect(narrow.length, name).toBeGreaterThanOrEqual(selectors.length - joined);
    }
  });
});

describe('the alert rules', () => {
  const names = rules.map(({ alert }) => alert);

  it('are six, each with its severity, its words and its place in the README', () => {
    expect(names).toHaveLength(6);
    for (const { alert, labels, annotations } of rules) {
      expect(labels, alert).toEqual({ severity: expect.stringMatching(/^(critical|warning)$/) });
      expect(annotations, alert).toEqual({
        summary: expect.any(String),
        description: expect.stringContaining('$value'),
        runbook: `deploy/README.md, ${alert}`,
      });
    }
    const sections = [...readDeployed('README.md').matchAll(/^### (Cronwright\w+)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(names);
  });

  it('are each tested to fire and not to fire, and no other is tested', () => {
    const cases = ruleTests.flatMap(({ alert_rule_test }) => alert_rule_test);
    expect(new Set(cases.map(({ alertname }) => alertname))).toEqual(new Set(names));
    for (const name of names) {
      const fires = cases.filter(({ alertname }) => alertname === name).map(({ exp_alerts }) => exp_alerts.length > 0);
      expect(new Set(fires), name).toEqual(new Set([true, false]));
    }
  });

  it('are named by the panels that show what they watch', () => {
    const named = drawn.flatMap(({ description = '' }) => description.match(/\bCronwright[A-Z]\w+/g) ?? []);
    expect(new Set(named)).toEqual(new Set(names));
  });
});
