// The compose file against what it refers to: files, variables, ports. Whether its images run is not tested here.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { settingDefaults } from '../../../src/config/defaults.ts';
import { parseDuration } from '../../../src/config/duration.ts';
import { deployFolder, readDeployed } from '../../monitoring/shipped-files.ts';

interface Service {
  image?: string;
  build?: string;
  environment: Record<string, string>;
  volumes: string[];
  ports?: string[];
  command?: string[];
  healthcheck: { test: string[] };
  stop_grace_period?: string;
}

const text = readDeployed('compose.yaml');
const { services, volumes } = parse(text) as { services: Record<string, Service>; volumes: Record<string, null> };
const all = Object.entries(services);

describe('deploy/compose.yaml', () => {
  it('pins every image it does not build, and checks the health of every service', () => {
    expect(Object.keys(services)).toEqual(['postgres', 'cronwright', 'prometheus', 'grafana']);
    for (const [name, { image, build, healthcheck }] of all) {
      if (build === undefined) expect(image, name).toMatch(/:v?\d+\.\d+(\.\d+)?(-\w+)?$/);
      expect(healthcheck.test.length, name).toBeGreaterThan(1);
    }
    expect(services.cronwright?.healthcheck.test.join(' ')).toContain('/readyz');
  });

  it('listens on loopback only', () => {
    const ports = all.flatMap(([, service]) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(2);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('mounts files that are there, none of them for writing, and volumes that it declares', () => {
    const mounts = all.flatMap(([, service]) => service.volumes.map((mount) => mount.split(':')));
    const bound = mounts.filter(([source = '']) => source.startsWith('.'));
    expect(bound.length).toBeGreaterThan(4);
    for (const [source = '', , mode] of bound) {
      expect(mode, source).toBe('ro');
      // A source tree that was unpacked and not cloned has no .git; README.md says so.
      if (source !== '../.git') expect(existsSync(join(deployFolder, source)), source).toBe(true);
    }
    const named = mounts.map(([source = '']) => source).filter((source) => !source.startsWith('.'));
    expect(named.sort()).toEqual(Object.keys(volumes).sort());
  });

  it('refuses to start without its secrets, and the example names all of them', () => {
    const required = new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name));
    const example = [...readDeployed('.env.example').matchAll(/^(\w+)=$/gm)].map(([, name]) => name);
    expect(new Set(example)).toEqual(required);
    expect(required).toEqual(new Set(['POSTGRES_PASSWORD', 'CRONWRIGHT_TOKEN', 'GRAFANA_ADMIN_PASSWORD']));
    const secret = /PASSWORD|TOKEN/;
    for (const [name, { environment = {} }] of all)
      for (const [key, value] of Object.entries(environment))
        if (secret.test(key)) expect(value, `${name} ${key}`).toMatch(/^\$\{\w+:\?/);
  });

  it('lets a daemon drain before it is killed', () => {
    const grace = parseDuration(services.cronwright?.stop_grace_period ?? '');
    const drain = parseDuration(settingDefaults['timing.drain'].value);
    expect(grace).toBeGreaterThan(Number(drain));
  });

  it('lets Prometheus find the daemon and Grafana find Prometheus, at the interval that both know', () => {
    const scrape = parse(readDeployed('prometheus/prometheus.yaml'));
    expect(scrape.scrape_configs[0].static_configs[0].targets).toEqual(['cronwright:8080']);
    const { datasources } = parse(readDeployed('grafana/provisioning/datasources/prometheus.yaml'));
    expect(datasources[0].url).toBe('http://prometheus:9090');
    expect(datasources[0].jsonData.timeInterval).toBe(scrape.global.scrape_interval);
    const { providers } = parse(readDeployed('grafana/provisioning/dashboards/cronwright.yaml'));
    const { environment = {}, volumes: mounts = [] } = services.grafana ?? {};
    expect(mounts).toContain(`./grafana/dashboards:${providers[0].options.path}:ro`);
    expect(environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(`${providers[0].options.path}/cronwright.json`);
  });
});
