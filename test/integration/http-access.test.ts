import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttpServer } from '../../src/http/create-http-server.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  httpContextOf,
  startDaemon,
  testPipeline,
  type World,
} from '../support/http-world.ts';

const token = 'correct horse battery staple'.replaceAll(' ', '-');

describe('who may ask', () => {
  let test: TestDatabase;
  let world: World;
  let open: Daemon;
  let closed: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    world = await createWorld(test.db, [testPipeline('plain')]);
    open = await startDaemon(world);
    closed = await startDaemon(world, { token });
  });
  afterAll(async () => {
    await open.stop();
    await closed.stop();
    await test.close();
  });

  /** fetch does not let a caller say another Host. */
  function ask(
    daemon: Daemon,
    path: string,
    headers: Record<string, string>,
    method = 'GET',
  ): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const sending = request(daemon.url + path, { method, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sending.on('error', reject);
      sending.end(method === 'POST' ? '{}' : undefined);
    });
  }

  describe('without a token', () => {
    it.each([
      'localhost',
      'localhost:8080',
      'LOCALHOST',
      '127.0.0.1',
      '127.1.2.3:80',
      '[::1]',
      '[::1]:9000',
    ])('answers under the name %s', async (host) => {
      expect(await ask(open, '/api/v1/queue', { host })).toBe(200);
    });

    it.each([
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '10.0.0.1',
      '128.0.0.1',
      '[::2]',
    ])('refuses the name "%s"', async (host) => {
      expect(await ask(open, '/api/v1/queue', { host })).toBe(403);
      expect(await ask(open, '/', { host })).toBe(403);
      expect(await ask(open, '/nothing', { host })).toBe(403);
    });

    it('refuses foreign origins, also on other ports of this machine, and takes its own', async () => {
      const host = new URL(open.url).host;
      const json = { 'content-type': 'application/json' };
      for (const origin of ['http://evil.example', 'http://localhost:1', 'null', 'https://127.0.0.1.evil.example']) {
        expect(await ask(open, '/api/v1/pipelines/plain/runs', { host, origin, ...json }, 'POST'), origin).toBe(403);
      }
      expect(await ask(open, '/api/v1/pipelines/plain/runs', { host, origin: open.url, ...json }, 'POST')).toBe(202);
    });

    it('answers probes and scrapers under any name', async () => {
      for (const path of ['/healthz', '/readyz', '/metrics'])
        expect(await ask(open, path, { host: 'node-1.internal' })).toBe(200);
    });

    it.each([
      '0.0.0.0',
      '::',
      '192.0.2.1',
      'example.org',
    ])('does not start on %s, and says what to do', async (host) => {
      const server = createHttpServer({ context: httpContextOf(world), host, port: 0 });
      await expect(server.start()).rejects.toThrow(/without a token.*CRONWRIGHT_TOKEN/);
    });
  });

  describe('with a token', () => {
    it('asks for it everywhere but at the open endpoints', async () => {
      for (const path of ['/', '/runs', '/api/v1/runs', '/api/openapi.json', '/api/v1/nothing', '/nothing']) {
        expect(await ask(closed, path, {}), path).toBe(401);
      }
      for (const path of ['/healthz', '/readyz', '/metrics']) expect(await ask(closed, path, {}), path).toBe(200);
    });

    it('takes the right one under any host name and refuses every other', async () => {
      const bearer = (text: string) => ({ authorization: text, host: 'cron.example.org' });
      expect(await ask(closed, '/api/v1/runs', bearer(`Bearer ${token}`))).toBe(200);
      expect(await ask(closed, '/api/v1/runs', bearer(`bearer ${token}`))).toBe(200);
      for (const text of [
        '',
        'Bearer',
        'Bearer ',
        `Basic ${token}`,
        `Bearer ${token}x`,
        `Bearer ${token.slice(0, -1)}`,
      ]) {
        expect(await ask(closed, '/api/v1/runs', bearer(text)), text).toBe(401);
      }
    });

    it('tells a client how to authenticate, without repeating what it sent', async () => {
      const response = await fetch(`${closed.url}/api/v1/runs`, { headers: { authorization: 'Bearer wrong-secret' } });
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/);
      expect(await response.text()).not.toContain('wrong-secret');
    });

    it('starts on every address', async () => {
      const server = createHttpServer({ context: httpContextOf(world, { token }), host: '0.0.0.0', port: 0 });
      await server.start();
      await server.stop();
    });

    it('lets a browser in by a form, to look but not to change', async () => {
      const html = { accept: 'text/html' };
      const turned = await fetch(`${closed.url}/runs?state=failed`, { headers: html, redirect: 'manual' });
      expect(turned.status).toBe(303);
      expect(turned.headers.get('location')).toBe('/login?next=%2Fruns%3Fstate%3Dfailed');
      const form = (fields: Record<string, string>) =>
        fetch(`${closed.url}/login`, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' });
      const wrong = await form({ token: 'guess', next: '/runs' });
      expect(wrong.status).toBe(401);
      expect(wrong.headers.get('set-cookie')).toBe(null);
      const right = await form({ token, next: '/runs?state=failed' });
      expect(right.headers.get('location')).toBe('/runs?state=failed');
      const cookie = right.headers.get('set-cookie') ?? '';
      expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
      expect(cookie).not.toContain(token);
      const session = { cookie: cookie.split(';')[0] ?? '' };
      expect(await ask(closed, '/', session)).toBe(200);
      expect(await ask(closed, '/api/v1/runs', session)).toBe(200);
      expect(
        await ask(closed, '/api/v1/pipelines/plain/runs', { ...session, 'content-type': 'application/json' }, 'POST'),
      ).toBe(401);
      expect(await ask(closed, '/', { cookie: 'cronwright_session=guess' })).toBe(401);
    });

    it.each([
      '//evil.example',
      'https://evil.example',
      '/\\evil.example',
      'javascript:alert(1)',
    ])('does not send a browser on to %s', async (next) => {
      const response = await fetch(`${closed.url}/login`, {
        method: 'POST',
        body: new URLSearchParams({ token, next }),
        redirect: 'manual',
      });
      expect(response.headers.get('location')).toBe('/');
    });
  });
});
