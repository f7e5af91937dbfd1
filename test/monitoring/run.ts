// npm run test:monitoring: everything deploy/ ships for Prometheus and Grafana, against a real Prometheus and a real daemon.
import { join } from 'node:path';
import { createDaemonFolder, type Daemon, eventually, startDaemon } from '../support/daemon-process.ts';
import { checkAlerts, checkDown } from './check-alerts.ts';
import { createCheckList } from './check-list.ts';
import { checkQueries } from './check-queries.ts';
import { eventfulEnv, writeEventfulConfig } from './eventful-config.ts';
import { freePort } from './free-port.ts';
import { hasCompose, missingPrograms, run, versionOf } from './programs.ts';
import { type Prometheus, startPrometheus } from './prometheus-process.ts';
import { metricsAsked, metricsExposed } from './shipped-files.ts';

const list = createCheckList((line) => console.log(line));
const missing = missingPrograms();

if (missing.length > 0) {
  console.error(`npm run test:monitoring needs programs that are not here, and installs nothing itself:\n`);
  for (const line of missing) console.error(`  ${line}`);
  console.error('\n  apt-get install --no-install-recommends prometheus\n\nNothing was tested.');
  process.exitCode = 2;
} else {
  const from = performance.now();
  console.log(`Prometheus ${versionOf('prometheus')}, promtool ${versionOf('promtool')}, Node ${process.version}\n`);
  await checkFiles();
  await checkLive();
  console.log(`\nGrafana was not run: that panels draw what their queries return is not tested here.`);
  console.log(`${Math.round((performance.now() - from) / 1_000)} s\n${list.closing()}`);
  process.exitCode = list.failed > 0 ? 1 : 0;
}

async function checkFiles(): Promise<void> {
  const last = (text: string) => text.split('\n').at(-1)?.trim() ?? '';
  const promtool = async (...args: string[]) => last(await run('promtool', args));
  await list.check('promtool check config', () => promtool('check', 'config', 'prometheus/prometheus.yaml'));
  await list.check('promtool check rules', () => promtool('check', 'rules', 'prometheus/rules.yaml'));
  await list.check('promtool test rules', () =>
    promtool('test', 'rules', 'prometheus/rules.test.yaml', 'prometheus/rules-days.test.yaml'),
  );
  if (!hasCompose()) {
    list.skip(
      'docker compose config',
      'no `docker compose` here (Debian: docker-compose-plugin); deploy/compose.yaml was not read by it',
    );
    return;
  }
  const env = { POSTGRES_PASSWORD: 'p', CRONWRIGHT_TOKEN: 't', GRAFANA_ADMIN_PASSWORD: 'g' };
  await list.check('docker compose config', () => run('docker', ['compose', 'config', '--quiet'], env));
  await list.check('docker compose config names what is not set', async () => {
    const said = await run('docker', ['compose', '--env-file', '/dev/null', 'config'], { CRONWRIGHT_TOKEN: '' }).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
    if (!said.includes('deploy/.env')) throw new Error(`it said: ${said}`);
    return 'it does';
  });
}

/** A daemon that is away for a while under the eyes of Prometheus, and comes back with what it missed. */
async function checkLive(): Promise<void> {
  const folder = await createDaemonFolder();
  const configDir = join(folder.path, 'config');
  let prometheus: Prometheus | undefined;
  let daemon: Daemon | undefined;
  try {
    await writeEventfulConfig(configDir);
    const dataDir = await folder.dataDir('monitoring');
    const port = await freePort();
    const start = () => startDaemon({ dataDir, configDir, args: ['--port', String(port)], env: eventfulEnv });
    daemon = await start();
    prometheus = await startPrometheus(join(folder.path, 'prometheus'), `127.0.0.1:${port}`);
    const { targets } = prometheus;
    await list.check('a daemon is scraped with the shipped configuration', async () => {
      await eventually('the target is up', async () => ((await targets())[0]?.health === 'up' ? true : undefined));
      return 'up';
    });
    await daemon.kill();
    await checkDown(list, prometheus);
    daemon = await start();
    await checkQueries(list, prometheus);
    const { text } = await daemon.ask('/metrics');
    await list.check('every metric asked for is exposed by the daemon', () => {
      const exposed = metricsExposed(text);
      const absent = metricsAsked().filter((name) => !exposed.has(name));
      if (absent.length > 0) throw new Error(`not in /metrics: ${absent.join(', ')}`);
      return `${metricsAsked().length} names`;
    });
    await checkAlerts(list, prometheus);
  } catch (error) {
    // A part did not start: that fails the test, and the closing line is still to come.
    await list.check('daemon and Prometheus run', () => Promise.reject(error));
  } finally {
    await prometheus?.stop();
    await daemon?.kill();
    await folder.remove();
  }
}
