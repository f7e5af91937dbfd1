// notify.email against a real SMTP server: login, STARTTLS, refusals, and what the mail looks like to its reader.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import PostalMime from 'postal-mime';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterEach, describe, expect, it } from 'vitest';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const servers: SMTPServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise<void>((resolve) => server.close(resolve));
});

interface Mail {
  raw: string;
  to: string[];
  secure: boolean;
  user: unknown;
}

async function receive(options: SMTPServerOptions = {}) {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    onData(stream, session, done) {
      let raw = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        raw += chunk;
      });
      stream.on('end', () => {
        const to = session.envelope.rcptTo.map(({ address }) => address);
        mails.push({ raw, to, secure: session.secure, user: session.user });
        done();
      });
    },
    ...options,
  });
  servers.push(server);
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  return { smtp: { host: '127.0.0.1', port, tls: 'none' }, port, mails };
}

const password = 'correct horse battery';
/** For 127.0.0.1. */
function selfSigned(): { key: string; cert: string } {
  const folder = tempFolder('certificate');
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=mail', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

const refusing = (responseCode: number) => (_: unknown, __: unknown, done: (error?: Error) => void) =>
  done(Object.assign(new Error('no'), { responseCode }));

const send = (input: Record<string, unknown>, overrides: Overrides = {}) =>
  runStep(
    'notify.email',
    {
      from: 'Cronwright <cron@example.com>',
      to: ['ops@example.com', 'Boss <boss@example.com>'],
      subject: 'Run fehlgeschlagen: Übersicht',
      text: 'It failed.\n.\nSee above.',
      delivery: 'now',
      ...input,
    },
    overrides,
  );

describe('notify.email', () => {
  it('sends a mail that reads as it was written', async () => {
    const { smtp, mails } = await receive();
    const key = '0190b/tell/3';
    const given = { smtp, cc: 'cc@example.com', bcc: 'bcc@example.com', html: '<p>It failed.</p>' };
    const output = outputOf(await send(given, { idempotencyKey: key }));
    expect(output).toMatchObject({ id: key, queued: false, message_id: '<0190b.tell.3@example.com>', rejected: [] });
    const [mail] = mails as [Mail];
    expect(mail.to).toEqual(['ops@example.com', 'boss@example.com', 'cc@example.com', 'bcc@example.com']);
    const read = await PostalMime.parse(mail.raw);
    expect(read).toMatchObject({
      subject: 'Run fehlgeschlagen: Übersicht',
      from: { name: 'Cronwright', address: 'cron@example.com' },
      messageId: '<0190b.tell.3@example.com>',
    });
    expect(read.text?.trim()).toBe('It failed.\n.\nSee above.');
    expect(read.html).toContain('<p>It failed.</p>');
    expect(mail.raw).not.toContain('bcc@example.com');
    expect(mail.raw).toMatch(/^auto-submitted: auto-generated/im);
  });

  it('logs in over STARTTLS, and only where the certificate is trusted', async () => {
    const { key, cert } = selfSigned();
    const logins: unknown[] = [];
    const { port, mails } = await receive({
      authOptional: false,
      disabledCommands: [],
      key,
      cert,
      onAuth(auth, _session, done) {
        logins.push(auth.username);
        if (auth.password === password) done(null, { user: auth.username });
        else done(new Error('wrong password'));
      },
    });
    const smtp = { host: '127.0.0.1', port, tls: 'starttls', user: 'cron', password };
    const refused = errorOf(await send({ smtp }, { secrets: [password] }));
    expect(refused).toMatchObject({ class: 'fatal', message: expect.stringMatching(/certificate/i) });
    expect([mails.length, logins.length]).toEqual([0, 0]);
    outputOf(await send({ smtp: { ...smtp, ca: cert } }));
    expect(logins).toEqual(['cron']);
    expect(mails).toMatchObject([{ secure: true, user: 'cron' }]);
  });

  it('logs in by fields or by one URL, and keeps the password to itself', async () => {
    const smtp = { host: '127.0.0.1', user: 'cron', password };
    const inTheClear = await receive({
      authOptional: false,
      disabledCommands: ['STARTTLS'],
      allowInsecureAuth: true,
      onAuth: (auth, _session, done) =>
        auth.password === password ? done(null, { user: auth.username }) : done(new Error(`not ${auth.password}`)),
    });
    const url = `smtp://cron:${encodeURIComponent(password)}@127.0.0.1:${inTheClear.port}`;
    outputOf(await send({ smtp: { url, tls: 'none' } }));
    outputOf(await send({ smtp: { ...smtp, port: inTheClear.port, tls: 'none' } }));
    expect(inTheClear.mails.map(({ user }) => user)).toEqual(['cron', 'cron']);
    const wrong = 'wrong but secret';
    const login = { ...smtp, port: inTheClear.port, tls: 'none', password: wrong };
    const error = errorOf(await send({ smtp: login }, { secrets: [wrong] }));
    expect(error).toMatchObject({ name: 'MailLoginRefused', class: 'fatal' });
    expect(JSON.stringify(error)).not.toContain(wrong);
  });

  it('sends nothing in the clear where STARTTLS is wanted and not offered', async () => {
    const { port, mails } = await receive();
    const error = errorOf(await send({ smtp: { host: '127.0.0.1', port } }));
    expect(error.class).toBe('fatal');
    expect(mails).toEqual([]);
  });

  it.each([
    ['every recipient is refused for good', { onRcptTo: refusing(550) }, 'fatal'],
    ['every recipient is refused for now', { onRcptTo: refusing(450) }, 'transient'],
    ['the sender is refused for good', { onMailFrom: refusing(553) }, 'fatal'],
    [
      'the server is busy',
      {
        onConnect: (_: unknown, done: (e?: Error) => void) =>
          done(Object.assign(new Error('busy'), { responseCode: 421 })),
      },
      'transient',
    ],
  ])('is a failure of its class where %s', async (_what, options, errorClass) => {
    const { smtp } = await receive(options as SMTPServerOptions);
    expect(errorOf(await send({ smtp }))).toMatchObject({ name: 'MailError', class: errorClass });
  });

  it('says which recipients were refused while others were not', async () => {
    const { smtp } = await receive({
      onRcptTo: ({ address }, _session, done) =>
        address.startsWith('boss') ? done(Object.assign(new Error('no such boss'), { responseCode: 550 })) : done(),
    });
    const ran = await send({ smtp });
    expect(outputOf(ran)).toMatchObject({ accepted: ['ops@example.com'], rejected: ['boss@example.com'] });
    expect(ran.recorded.log[0]).toMatchObject({ level: 'warn', message: expect.stringContaining('boss@example.com') });
  });

  it('is tried again where the server cannot be reached, or does not answer', async () => {
    const { smtp } = await receive({ onConnect: () => {} });
    expect(errorOf(await send({ smtp, timeout: 300 }))).toMatchObject({ class: 'transient' });
    await new Promise<void>((resolve) => servers.pop()?.close(resolve));
    expect(errorOf(await send({ smtp }))).toMatchObject({ name: 'MailError', class: 'transient' });
  });

  it('goes through the outbox unless it is told otherwise, and a dry run sends nothing', async () => {
    const { smtp, mails } = await receive();
    const queued = await send({ smtp, delivery: undefined });
    expect(outputOf(queued)).toMatchObject({ queued: true });
    expect(queued.recorded.outbox.size).toBe(1);
    const dry = await send({ smtp, delivery: undefined }, { dryRun: true });
    expect(outputOf(dry)).toMatchObject({ queued: false });
    expect(dry.recorded.log[0]?.message).toContain('would send "Run fehlgeschlagen');
    expect(mails).toEqual([]);
    outputOf(await send({ smtp, delivery: undefined }, { delivery: { putAt: '2026-01-02T03:04:05.000Z' } }));
    expect((await PostalMime.parse(mails[0]?.raw ?? '')).date).toBe('2026-01-02T03:04:05.000Z');
  });

  it.each([
    ['a subject of two lines', { subject: 'a\r\nBcc: all@example.com' }],
    ['an address with a line break', { to: 'a@example.com\nBcc: b@example.com' }],
    ['a user without a password', { smtp: { host: 'h', user: 'u' } }],
    ['two servers', { smtp: { host: 'h', url: 'smtp://h' } }],
  ])('refuses %s', async (_what, wrong) => {
    const error = errorOf(await send({ smtp: { host: '127.0.0.1' }, ...wrong }));
    expect(error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
  });
});
