// A daemon with two notifications in its settings: a run that fails is told of by one signed webhook and one mail, and no secret shows.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const password = 'correct-horse-battery';

const pipeline = `
id: nightly
steps:
  - { id: build, uses: shell.run, with: { argv: [sh, -c, "echo no space left >&2; exit 3"] }, retry: { max_retries: 0 } }
`;

const settings = (hooks: number, mail: number) => `
http: { allow_private_hosts: [127.0.0.0/8] }
secrets: { HOOK: { file: ./hook.key } }
on_failure:
  - uses: notify.webhook
    with:
      url: http://127.0.0.1:${hooks}/hooks
      secret: \${{ secrets.HOOK }}
      type: run.\${{ run.state }}
      data: { run: "\${{ run }}", more: "\${{ run.more_failed }}" }
  - uses: notify.email
    with:
      smtp: { host: 127.0.0.1, port: ${mail}, tls: none, user: cron, password: "\${{ secrets.MAIL }}" }
      from: Cronwright <cron@example.com>
      to: ops@example.com
      subject: "\${{ run.pipeline }} \${{ run.state }}"
      text: |
        \${{ run.error.step }}: \${{ run.error.message }}
        \${{ run.url }}
`;

interface Call {
  id: string;
  state: string;
  step_type: string;
  run_id: string;
}

describe('on_failure of a daemon', () => {
  let folder: DaemonFolder;
  let daemon: Daemon;
  let dataDir: string;
  const hooks: { id: string; message: unknown }[] = [];
  const mails: string[] = [];
  const receiver = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const headers = request.headers as Record<string, string>;
    hooks.push({ id: headers['webhook-id'] ?? '', message: new Webhook(secret).verify(body, headers) });
    response.end();
  });
  const mailServer = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    onAuth: (auth, _session, done) => done(auth.password === password ? null : new Error('no'), { user: 'cron' }),
    onData(stream, _session, done) {
      let raw = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        raw += chunk;
      });
      stream.on('end', () => {
        mails.push(raw);
        done();
      });
    },
  });

  beforeAll(async () => {
    folder = await createDaemonFolder();
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => mailServer.listen(0, '127.0.0.1', resolve));
    const configDir = join(folder.path, 'config');
    await mkdir(join(configDir, 'pipelines'), { recursive: true });
    const ports = [receiver.address(), mailServer.server.address()].map((address) => (address as AddressInfo).port);
    await writeFile(join(configDir, 'cronwright.yaml'), settings(ports[0] ?? 0, ports[1] ?? 0));
    await writeFile(join(configDir, 'hook.key'), `${secret}\n`);
    await writeFile(join(configDir, 'pipelines', 'nightly.yaml'), pipeline);
    dataDir = await folder.dataDir('told');
    daemon = await startDaemon({ dataDir, configDir, env: { CRONWRIGHT_SECRET_MAIL: password } });
  });
  afterAll(async () => {
    await daemon?.kill();
    receiver.closeAllConnections();
    receiver.close();
    await new Promise<void>((resolve) => mailServer.close(resolve));
    await folder.remove();
  });

  it('tells of a run that fails by one webhook and one mail, and keeps its secrets', async () => {
    const { id } = await daemon.post<{ id: string }>('/pipelines/nightly/runs');
    const calls = await eventually(
      'two calls delivered',
      async () => {
        const { items } = await daemon.get<{ items: Call[] }>('/outbox?state=delivered');
        return items.length === 2 ? items : undefined;
      },
      30_000,
      () => daemon.output().slice(-2_000),
    );
    expect(calls.map((call) => call.step_type).sort()).toEqual(['notify.email', 'notify.webhook']);
    expect(calls.map((call) => call.run_id)).toEqual([id, id]);
    expect(hooks).toHaveLength(1);
    expect(hooks[0]).toMatchObject({
      id: calls.find((call) => call.step_type === 'notify.webhook')?.id,
      message: {
        type: 'run.failed',
        data: { more: 0, run: { id, pipeline: 'nightly', schedule: null, state: 'failed', error: { step: 'build' } } },
      },
    });
    expect(mails).toHaveLength(1);
    const mail = await PostalMime.parse(mails[0] ?? '');
    expect(mail).toMatchObject({ subject: 'nightly failed', to: [{ address: 'ops@example.com' }] });
    expect(mail.text).toMatch(/^build: .*3/);
    expect(mail.text).toContain(`${daemon.url}/runs/${id}`);
    expect(mail.messageId).toBe(`<${calls.find((call) => call.step_type === 'notify.email')?.id}@example.com>`);

    await daemon.logged((line) => line.msg === 'notification.delivered' && line.step_type === 'notify.email');
    const { text: metrics } = await daemon.ask('/metrics');
    expect(metrics).toContain('cronwright_notifications_total{step_type="notify.webhook",result="success"} 1');
    expect((await daemon.get<{ items: Call[] }>('/outbox?state=failed,pending')).items).toEqual([]);
    expect((await daemon.ask('/api/v1/outbox?state=lost')).status).toBe(400);
    const retry = (call: string) => daemon.ask(`/api/v1/outbox/${call}/retry`, { method: 'POST', json: {} });
    expect(await retry(calls[0]?.id ?? '')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('delivered') },
    });
    expect((await retry(id)).status).toBe(404);

    expect((await daemon.stop()).code).toBe(0);
    const said = daemon.output() + JSON.stringify(daemon.answers);
    for (const value of [secret.slice(6), password]) {
      expect(said).not.toContain(value);
      expect(await filesWith(dataDir, value)).toEqual([]);
    }
    expect(await filesWith(dataDir, 'secrets.HOOK')).not.toEqual([]);
  });

  it('is refused at the start where it could not be sent', async () => {
    const configDir = join(folder.path, 'wrong');
    await mkdir(configDir, { recursive: true });
    const wrong =
      'on_failure:\n  - uses: notify.webhook\n    with: { url: "http://x", type: a, data: "${{ steps.x }}" }\n';
    await writeFile(join(configDir, 'cronwright.yaml'), wrong);
    const start = startDaemon({ dataDir: await folder.dataDir('wrong', { empty: true }), configDir });
    await expect(start).rejects.toThrow(
      /cronwright\.yaml:3:\d+: on_failure\[0\]\.with\.secret: notify\.webhook: expected whsec_/,
    );
  });
});

/** Files below the directory that hold the text. */
async function filesWith(directory: string, text: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path)).includes(text)) found.push(path);
  }
  return found;
}
