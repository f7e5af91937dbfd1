// A log whose disk is full: the program that writes it goes on, and ends when it is told to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';

const full = '/dev/full';
const program = `
  import { createLog } from ${JSON.stringify(join(packageRoot, 'src/observe/log.ts'))};
  const log = createLog({ level: 'info' });
  let lines = 0;
  const timer = setInterval(() => {
    log.info({}, 'line');
    lines += 1;
    if (lines < 5) return;
    clearInterval(timer);
    log.flush();
    process.exit(7);
  }, 20);
`;

describe('a log that cannot be written', () => {
  it.skipIf(!existsSync(full))('neither ends its program nor keeps it from ending', async () => {
    const child = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', program],
      {
        env: { PATH: process.env.PATH, TSX_TSCONFIG_PATH: join(packageRoot, 'tsconfig.json') },
        stdio: ['ignore', openSync(full, 'w'), 'inherit'],
        timeout: 60_000,
        killSignal: 'SIGKILL',
      },
    );
    expect(await once(child, 'close')).toEqual([7, null]);
  });
});
