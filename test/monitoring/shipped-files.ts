// Reads what deploy/ ships for Prometheus and Grafana: the dashboard's queries and variables, the alert rules.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { packageRoot } from '../../src/base/package-root.ts';

export const deployFolder = join(packageRoot, 'deploy');
const dashboardFile = 'grafana/dashboards/cronwright.json';

export interface DataSourceRef {
  type: string;
  uid: string;
}

export interface Target {
  refId: string;
  expr: string;
  datasource: DataSourceRef;
  instant?: boolean;
  format?: string;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: DataSourceRef;
  targets?: Target[];
  panels?: Panel[];
  fieldConfig?: {
    defaults: { unit?: string; thresholds?: { steps: { value: number | null }[] } };
    overrides: { properties: { id: string }[] }[];
  };
}

export interface Variable {
  name: string;
  type: string;
  label?: string;
  query: string | { refId: string; query: string };
}

export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  panels: Panel[];
  annotations: { list: { name: string; expr: string }[] };
  templating: { list: Variable[] };
}

export interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface RuleFile {
  groups: { name: string; rules: Rule[] }[];
}

/** A question that the dashboard asks. */
export interface DashboardQuery {
  /** `panel / ref`, as people find it. */
  name: string;
  expr: string;
}

export function readDeployed(path: string): string {
  return readFileSync(join(deployFolder, path), 'utf8');
}

export function readDashboard(): Dashboard {
  return JSON.parse(readDeployed(dashboardFile)) as Dashboard;
}

export function readRules(): Rule[] {
  return (parse(readDeployed('prometheus/rules.yaml')) as RuleFile).groups.flatMap(({ rules }) => rules);
}

/** Of all panels and annotations; those of template variables are `label_values` and not PromQL. */
export function dashboardQueries(dashboard: Dashboard): DashboardQuery[] {
  const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
  return [
    ...panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ refId, expr }) => ({ name: targets.length > 1 ? `${title} / ${refId}` : title, expr })),
    ),
    ...dashboard.annotations.list.map(({ name, expr }) => ({ name: `annotation ${name}`, expr })),
  ];
}

/** The variables that ask Prometheus: `label_values(series, label)` taken apart. */
export function labelVariables(dashboard: Dashboard): { name: string; series: string; label: string }[] {
  return dashboard.templating.list
    .filter(({ type }) => type === 'query')
    .map(({ name, query }) => {
      const text = typeof query === 'string' ? query : query.query;
      const [, series, label] = /^label_values\((.+), (\w+)\)$/.exec(text) ?? [];
      if (series === undefined || label === undefined) throw new Error(`variable ${name}: not label_values: ${text}`);
      return { name, series, label };
    });
}

/** Names of our metrics in PromQL or in a text that names them. */
export function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\bcronwright_\w+/g) ?? [])].sort();
}

/** All that dashboard and rules ask for. */
export function metricsAsked(): string[] {
  const dashboard = readDashboard();
  const texts = [
    ...dashboardQueries(dashboard).map(({ expr }) => expr),
    ...labelVariables(dashboard).map(({ series }) => series),
    ...readRules().map(({ expr }) => expr),
  ];
  return metricsIn(texts.join('\n'));
}

/** Names that a text in Prometheus' form has series for; `declared`: also those it only declares, with what their kind adds. */
export function metricsExposed(body: string, declared = false): Set<string> {
  const names = new Set<string>();
  for (const line of body.split('\n')) {
    const [, type, kind] = /^# TYPE (\w+) (\w+)$/.exec(line) ?? [];
    if (declared && type !== undefined) {
      names.add(type);
      if (kind === 'histogram') for (const suffix of ['_bucket', '_sum', '_count']) names.add(type + suffix);
    }
    const [, name] = /^(\w+)(?:\{.*\})? [^ ]+$/.exec(line) ?? [];
    if (name !== undefined) names.add(name);
  }
  return names;
}
