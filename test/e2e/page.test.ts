// The status page in a real browser: what runs, what failed and what fires next, kept fresh without a reload.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';

const candidates = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const browserPath = candidates.find((path) => path !== undefined && existsSync(path));
const suite = browserPath === undefined ? 'SKIPPED, no browser: set CHROMIUM_PATH to a Chromium' : 'in Chromium';
if (browserPath === undefined) {
  const looked = candidates.filter((path) => path !== undefined).join(', ');
  console.warn(`\nSKIPPED: the status page is not tested, no Chromium at ${looked}. Set CHROMIUM_PATH to one.\n`);
}

const pipelines = `
id: sad
steps:
  - { id: boom, uses: shell.run, with: { script: "exit 3" }, retry: { max_retries: 0 } }
---
id: asks_once_more
steps:
  - id: publish_everything_again
    uses: shell.run
    with: { script: "exit 3" }
    retry: { max_retries: 0 }
    on_exhausted: wait_manual
---
id: asks_for_approval
steps:
  - id: confirm
    uses: wait.approval
    with: { message: "Publish twelve pages of the documentation?", approvers: [maria, joe], timeout: 2d }
---
id: endless
schedules:
  - { id: yearly, cron: "0 2 1 7 *", timezone: America/New_York }
steps:
  - { id: rest, uses: wait.sleep, with: { duration: 1h } }
`;

let folder: DaemonFolder;
let daemon: Daemon;
let browser: Browser;
let page: Page;
const complaints: string[] = [];
const requests: string[] = [];

async function startRun(id: string): Promise<string> {
  return (await daemon.post<{ id: string }>(`/pipelines/${id}/runs`)).id;
}

async function inState(id: string, state: string): Promise<void> {
  const look = async () => {
    const run = await daemon.get<{ state: string }>(`/runs/${id}`);
    return run.state === state ? true : undefined;
  };
  await eventually(`run ${id} ${state}`, look, 30_000, () => daemon.output().slice(-2_000));
}

async function openPage(): Promise<Page> {
  const opened = await browser.newPage({ viewport: { width: 1_200, height: 900 } });
  opened.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  opened.on('pageerror', (error) => complaints.push(String(error)));
  opened.on('requestfailed', (request) => complaints.push(`${request.url()} ${request.failure()?.errorText}`));
  opened.on('request', (request) => requests.push(request.url()));
  return opened;
}

describe.skipIf(browserPath === undefined)(`the status page (${suite})`, () => {
  beforeAll(async () => {
    folder = await createDaemonFolder();
    const configDir = join(folder.path, 'config');
    await mkdir(join(configDir, 'pipelines'), { recursive: true });
    await writeFile(join(configDir, 'pipelines/all.yaml'), pipelines);
    daemon = await startDaemon({ dataDir: await folder.dataDir('page'), configDir });
    await inState(await startRun('sad'), 'failed');
    await inState(await startRun('endless'), 'running');
    const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
    browser = await chromium.launch({ executablePath: browserPath ?? '', args });
    page = await openPage();
    await page.goto(`${daemon.url}/`);
  });

  afterAll(async () => {
    await browser?.close();
    await daemon?.kill();
    await folder?.remove();
  });

  const section = (title: string) => page.locator('section', { has: page.locator('h2', { hasText: title }) });

  it('shows what runs, what failed and why, and the next fires in both zones', async () => {
    // A step's name comes with the next heartbeat.
    await section('Running now').getByText('rest', { exact: true }).waitFor({ timeout: 30_000 });
    expect(await section('Running now').innerText()).toContain('endless');
    expect(await section('Failed lately').innerText()).toMatch(/sad[\s\S]*exited with code 3/);
    const next = await section('Next').innerText();
    expect(next).toContain('endless.yearly');
    expect(next).toContain('America/New_York');
    expect(next).toMatch(/02:00/);
    expect(next).toMatch(/06:00/);
    await page.screenshot({ path: join(folder.path, 'status.png'), fullPage: true });
  });

  it('shows what begins while it is open, without a reload and without running what a name says', async () => {
    await page.evaluate('window.notReloaded = true');
    const id = await startRun('endless');
    const row = section('Running now').getByText(id.slice(-8));
    await row.waitFor({ timeout: 30_000 });
    await daemon.post(`/runs/${id}/cancel`);
    await row.waitFor({ state: 'detached', timeout: 30_000 });
    const reason = '<img src=x onerror="window.hurt = true">';
    await daemon.post('/schedules/endless.yearly/pause', { reason });
    await section('Not firing as usual').getByText(reason).waitFor({ timeout: 30_000 });
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.evaluate('window.hurt')).toBeUndefined();
    expect(await page.evaluate('window.notReloaded')).toBe(true);
  });

  it('leads to a run and to the lists', async () => {
    const visitor = await openPage();
    for (const path of ['/runs', '/runs?state=failed', '/schedules']) {
      const response = await visitor.goto(`${daemon.url}${path}`);
      expect(response?.status(), path).toBe(200);
    }
    await visitor.goto(`${daemon.url}/`);
    await visitor.getByRole('link', { name: 'sad' }).first().click();
    await visitor.waitForURL('**/runs/*');
    expect(await visitor.locator('main').innerText()).toMatch(/boom/);
    await visitor.close();
  });

  it('fits a phone without scrolling sideways', async () => {
    const phone = await openPage();
    await phone.setViewportSize({ width: 360, height: 740 });
    await phone.goto(`${daemon.url}/`);
    expect(await phone.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    await phone.close();
  });

  it('fits window and phone also while runs ask people', async () => {
    const asking = [await startRun('asks_once_more'), await startRun('asks_for_approval')];
    for (const id of asking) await inState(id, 'waiting');
    const visitor = await openPage();
    for (const width of [1_200, 390]) {
      await visitor.setViewportSize({ width, height: 900 });
      for (const path of ['/', ...asking.map((id) => `/runs/${id}`)]) {
        await visitor.goto(`${daemon.url}${path}`);
        await visitor.getByText('cronwright signal').first().waitFor({ timeout: 30_000 });
        const wide = await visitor.evaluate('document.documentElement.scrollWidth');
        expect([path, width, wide]).toEqual([path, width, expect.toSatisfy((n: number) => n <= width)]);
      }
    }
    await visitor.close();
    for (const id of asking) await daemon.post(`/runs/${id}/cancel`);
  });

  it('has the API to read and to try, from its own files', async () => {
    const visitor = await openPage();
    await visitor.goto(`${daemon.url}/`);
    await visitor.getByRole('link', { name: 'API', exact: true }).click();
    const queue = visitor.locator('#operations-Queue_and_nodes-getQueue');
    await queue.getByRole('button', { name: /GET.*\/api\/v1\/queue/ }).click();
    await queue.getByRole('button', { name: 'Try it out' }).click();
    await queue.getByRole('button', { name: 'Execute' }).click();
    const answer = queue.locator('.live-responses-table');
    await answer.waitFor({ timeout: 30_000 });
    expect(await answer.locator('td.response-col_status').last().innerText()).toContain('200');
    expect(await answer.innerText()).toMatch(/"depth": \d+/);
    await visitor.close();
  });

  it('logs no error in the browser, and sends no request to anybody else', () => {
    expect(requests.length).toBeGreaterThan(3);
    expect(requests.filter((url) => !url.startsWith('data:') && new URL(url).origin !== daemon.url)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('says so when the daemon has gone', async () => {
    await daemon.kill();
    await page.locator('#freshness.stale').waitFor({ timeout: 30_000 });
    expect(await page.locator('#freshness').innerText()).toMatch(/no answer since \d\d:\d\d:\d\d UTC/);
  });
});
