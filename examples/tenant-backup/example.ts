// The example tenant-backup: the databases of three tenants are dumped, checked and rolled up; a dump is restored once more to see it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Api, Example, FinishedRun, PreparedExample } from '../example.ts';

/** How many orders each has. */
const orders = { acme: 2_000, bolt: 300, cobalt: 0 } as const;
type Tenant = keyof typeof orders;
const tenants = Object.keys(orders) as Tenant[];

interface Notice {
  type: string;
  data: Record<string, unknown>;
}

const example: Example = {
  name: 'tenant-backup',
  title: 'Backups of three tenants from one template',
  needs: ['postgresql', 'pg_dump'],
  async prepare({ postgresUrl }): Promise<PreparedExample> {
    if (postgresUrl === undefined) throw new Error('the example tenant-backup needs a PostgreSQL server');
    const databases = await makeDatabases(postgresUrl);
    const receiver = await receiveNotices();
    return {
      env: {
        ...Object.fromEntries(tenants.map((one) => [`${one.toUpperCase()}_URL`, databases.url(one)])),
        CRONWRIGHT_SECRET_NOTICE_URL: receiver.url,
        CRONWRIGHT_SECRET_NOTICE_KEY: `whsec_${randomBytes(32).toString('base64')}`,
      },
      runs: [...tenants.map((tenant) => ({ pipeline: 'tenant-backup', tenant })), { pipeline: 'backup-roll-up' }],
      check: (finished, api) => check(finished, api, { databases, notices: receiver.notices }),
      async stop() {
        await receiver.stop();
        await databases.drop();
      },
    };
  },
};

export default example;

interface Databases {
  url(tenant: Tenant | 'restored'): string;
  drop(): Promise<void>;
}

async function makeDatabases(serverUrl: string): Promise<Databases> {
  const suffix = randomBytes(4).toString('hex');
  const nameOf = (tenant: string) => `cronwright_backup_${tenant}_${suffix}`;
  const url = (tenant: string) => {
    const one = new URL(serverUrl);
    one.pathname = `/${nameOf(tenant)}`;
    return one.href;
  };
  for (const tenant of tenants) {
    await ask(serverUrl, `create database ${nameOf(tenant)}`);
    await ask(
      url(tenant),
      `create table customers (id int primary key, name text not null);
      insert into customers select n, 'Customer ' || n || ' of ${tenant}' from generate_series(1, 50) n;
      create table orders (id int generated always as identity primary key, customer int not null references customers,
        total numeric(10, 2) not null, placed_at timestamptz not null default now());
      insert into orders (customer, total) select 1 + n % 50, n / 7.0 from generate_series(1, ${orders[tenant]}) n;`,
    );
  }
  return {
    url,
    async drop() {
      for (const one of [...tenants, 'restored'])
        await ask(serverUrl, `drop database if exists ${nameOf(one)} with (force)`);
    },
  };
}

async function receiveNotices() {
  const notices: Notice[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      notices.push(JSON.parse(Buffer.concat(parts).toString()) as Notice);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    notices,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/notices`,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function check(
  finished: readonly FinishedRun[],
  api: Api,
  world: { databases: Databases; notices: readonly Notice[] },
): Promise<string[]> {
  for (const { id, state, run } of finished) {
    expect(state === 'completed', `the run ${id} is ${state}: ${JSON.stringify(run.error)}`);
  }
  const triggered = await triggerSchedule(api, 'acme');
  await expectSchedules(api);
  const restored = await restoreOnceMore(api, triggered, world.databases);
  const told = world.notices.filter(({ type }) => type === 'backup.completed').map(({ data }) => String(data.tenant));
  expect(told.sort().join() === 'acme,acme,bolt,cobalt', `notices came of ${told}`);
  const rolledUp = world.notices.find(({ type }) => type === 'backup.rolled_up')?.data.tenants as Record<
    string,
    unknown
  >[];
  expect(rolledUp?.length === 3, 'the roll-up does not tell of three tenants');
  const { items } = (await api.get('/tenants')) as { items: { tenant: string; success_rate: number | null }[] };
  const wrong = items.filter((one) => tenants.includes(one.tenant as Tenant) && one.success_rate !== 1);
  expect(wrong.length === 0, `not all went well: ${JSON.stringify(wrong)}`);
  return [
    ...rolledUp.map((one) => `${one.tenant}: ${one.dumps} dump of ${one.row_count} rows, ${one.bytes} bytes`),
    `the dump of acme was restored once more: ${restored} rows, as in its database`,
    `${world.notices.length} notices came`,
  ];
}

/** As an impatient person does; the run obeys the schedule's overlap policy. */
async function triggerSchedule(api: Api, tenant: Tenant): Promise<string> {
  const { id } = (await api.post('/schedules/tenant-backup.nightly/trigger', {}, tenant)) as { id: string };
  for (const until = performance.now() + 60_000; ; await sleep(200)) {
    const { state, error } = (await api.get(`/runs/${id}`, tenant)) as { state: string; error: unknown };
    if (state === 'completed') return id;
    expect(state !== 'failed' && performance.now() < until, `the triggered run is ${state}: ${JSON.stringify(error)}`);
  }
}

/** Each fires at its own time in its own zone, and has its promise. */
async function expectSchedules(api: Api): Promise<void> {
  const zones = { acme: 'America/New_York', bolt: 'Europe/Berlin', cobalt: 'Asia/Tokyo' };
  for (const tenant of tenants) {
    const one = (await api.get('/schedules/tenant-backup.nightly', tenant)) as Record<string, unknown>;
    const { timezone, state, next_at: nextAt, sla } = one;
    const fits = timezone === zones[tenant] && state === 'active' && typeof nextAt === 'string' && sla !== null;
    expect(fits, `the schedule of ${tenant} is ${JSON.stringify(one)}`);
  }
}

/** With PostgreSQL's own program, as somebody would who lost the database. */
async function restoreOnceMore(api: Api, run: string, databases: Databases): Promise<number> {
  const { items } = (await api.get(`/runs/${run}/steps`, 'acme')) as {
    items: { step: string; output: { path: string } }[];
  };
  const path = items.find(({ step }) => step === 'dump')?.output.path ?? '';
  const { settings } = (await api.get('/config')) as { settings: { key: string; value: string }[] };
  const dataDir = settings.find(({ key }) => key === 'data_dir')?.value ?? '';
  const folder = join(dataDir, 'dumps', 'acme');
  expect((await readdir(join(folder, 'nightly'))).length === 2, 'expected the dumps of two runs');
  const url = databases.url('restored');
  await ask(databases.url('acme'), `create database ${new URL(url).pathname.slice(1)}`);
  await promisify(execFile)('pg_restore', ['--no-owner', '--exit-on-error', '--dbname', url, join(folder, path)]);
  const count =
    'select (select count(*) from customers)::int4 as customers, count(*)::int4 as orders, sum(total)::text as total from orders';
  const [then, now] = [await ask(databases.url('acme'), count), await ask(url, count)];
  expect(
    JSON.stringify(then) === JSON.stringify(now),
    `restored was ${JSON.stringify(now)}, expected ${JSON.stringify(then)}`,
  );
  return Number(now[0]?.customers) + Number(now[0]?.orders);
}

async function ask(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

function expect(fits: boolean, complaint: string): void {
  if (!fits) throw new Error(complaint);
}
