// A configuration in which everything happens that dashboard and alerts tell of: ends of all kinds, retries, skips, misses, waits, calls, undoing.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const files: Readonly<Record<string, string>> = {
  // No node serves the queue `stranded`. Nobody listens on port 1: such a call is to be made again.
  'cronwright.yaml': `queues: [default]
workers: 3
http: { allow_private_hosts: ["127.0.0.1:1"] }
on_failure:
  - uses: notify.webhook
    with: { url: "http://127.0.0.1:1/", secret: "\${{ secrets.HOOK }}", type: run.failed, data: "\${{ run }}" }
`,
  'pipelines/good.yaml': `id: good
schedules: [{ id: every-second, cron: "* * * * * *", timezone: UTC, catchup: none }]
steps: [{ id: rest, uses: wait.sleep, with: { duration: 5ms } }]
`,
  'pipelines/bad.yaml': `id: bad
schedules: [{ id: every-second, cron: "* * * * * *", timezone: UTC, catchup: none }]
steps: [{ id: break, uses: shell.run, with: { script: exit 1 } }]
`,
  // 75 is worth a retry; it fails all the same.
  'pipelines/flaky.yaml': `id: flaky
schedules: [{ id: every-two-seconds, cron: "*/2 * * * * *", timezone: UTC, catchup: none }]
steps:
  - id: try
    uses: shell.run
    with: { script: exit 75 }
    retry: { policy: fast, max_retries: 1 }
`,
  'pipelines/slow.yaml': `id: slow
schedules: [{ id: every-two-seconds, cron: "*/2 * * * * *", timezone: UTC, catchup: none }]
timeout: 500ms
steps: [{ id: rest, uses: wait.sleep, with: { duration: 10s } }]
`,
  'pipelines/long.yaml': `id: long
schedules: [{ id: every-second, cron: "* * * * * *", timezone: UTC, overlap: skip, catchup: none }]
steps: [{ id: rest, uses: wait.sleep, with: { duration: 2500ms } }]
`,
  // This address may not be reached: the call is given up.
  'pipelines/tell.yaml': `id: tell
schedules: [{ id: every-two-seconds, cron: "*/2 * * * * *", timezone: UTC, catchup: none }]
steps:
  - id: call
    uses: notify.webhook
    with: { url: "http://127.0.0.2:1/", secret: "\${{ secrets.HOOK }}", type: told, data: {} }
`,
  'pipelines/undone.yaml': `id: undone
schedules: [{ id: every-two-seconds, cron: "*/2 * * * * *", timezone: UTC, catchup: none }]
steps:
  - { id: write, uses: file.write, with: { path: made.txt, content: made } }
  - { id: break, uses: shell.run, needs: [write], with: { script: exit 1 } }
`,
  'pipelines/asking.yaml': `id: asking
schedules: [{ id: every-second, cron: "* * * * * *", timezone: UTC, overlap: skip, catchup: none }]
steps: [{ id: ask, uses: wait.approval, with: { message: "Go on?" } }]
`,
  'pipelines/stranded.yaml': `id: stranded
queue: stranded
schedules: [{ id: every-second, cron: "* * * * * *", timezone: UTC, overlap: skip, catchup: none }]
steps: [{ id: rest, uses: wait.sleep, with: { duration: 5ms } }]
`,
  'pipelines/nightly.yaml': `id: nightly
schedules: [{ id: at-two, cron: "0 2 * * *", timezone: Europe/Vienna }]
steps: [{ id: rest, uses: wait.sleep, with: { duration: 5ms } }]
`,
};

/** What the daemon's environment has to hold for it. */
export const eventfulEnv = { CRONWRIGHT_SECRET_HOOK: `whsec_${Buffer.alloc(24).toString('base64')}` };

/** Writes it into `folder`, which is made. */
export async function writeEventfulConfig(folder: string): Promise<void> {
  await mkdir(join(folder, 'pipelines'), { recursive: true });
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text);
}
