import { describe, expect, it } from 'vitest';
import { type Daemon, serve } from '../../../src/cli/serve.ts';
import { createLog } from '../../../src/observe/log.ts';
import { memoryContext } from './memory-context.ts';

/** A daemon that notes what it is told; `drained` ends its draining. */
function scriptedDaemon(start: () => Promise<void> = async () => {}) {
  const told: string[] = [];
  let drained = (): void => {};
  const ended = new Promise<void>((resolve) => {
    drained = resolve;
  });
  const daemon: Daemon = {
    start: async () => {
      told.push('start');
      await start();
    },
    stop: async (how) => {
      told.push(how);
      if (how === 'cancel') drained();
      await ended;
    },
    reload: async () => {
      told.push('reload');
      throw new Error('a broken file');
    },
  };
  return { daemon, told, drained };
}

function logOf(): { lines: () => { msg: string; level: string }[]; log: ReturnType<typeof createLog> } {
  const parts: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line) => parts.push(line) } });
  return { log, lines: () => parts.map((line) => JSON.parse(line)) };
}

describe('a daemon under signals', () => {
  it('drains at the first SIGTERM and ends with 0 when it has', async () => {
    const { daemon, told, drained } = scriptedDaemon();
    const context = memoryContext();
    const { log, lines } = logOf();
    const served = serve(context, daemon, log);
    context.send('SIGTERM');
    drained();
    expect(await served).toBe(0);
    expect(told).toEqual(['start', 'drain']);
    expect(lines()).toMatchObject([{ msg: 'daemon.draining', signal: 'SIGTERM' }, { msg: 'daemon.stopped' }]);
  });

  it('cancels at the second signal, whichever it is', async () => {
    const { daemon, told } = scriptedDaemon();
    const context = memoryContext();
    const served = serve(context, daemon, logOf().log);
    context.send('SIGTERM');
    context.send('SIGINT');
    expect(await served).toBe(0);
    expect(told).toEqual(['start', 'drain', 'cancel']);
  });

  it('can be stopped while it still starts', async () => {
    const { daemon, told, drained } = scriptedDaemon(() => new Promise(() => {}));
    const context = memoryContext();
    const served = serve(context, daemon, logOf().log);
    context.send('SIGINT');
    drained();
    expect(await served).toBe(0);
    expect(told).toEqual(['start', 'drain']);
  });

  it('counts what the stop of a start says as no failure', async () => {
    let fail = (_: Error): void => {};
    const starting = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const { daemon, drained } = scriptedDaemon(() => starting);
    const context = memoryContext();
    const served = serve(context, daemon, logOf().log);
    context.send('SIGINT');
    fail(new Error('gave up waiting for the database'));
    drained();
    expect(await served).toBe(0);
  });

  it('reloads at SIGHUP and outlives a reload that fails', async () => {
    const { daemon, told, drained } = scriptedDaemon();
    const context = memoryContext();
    const { log, lines } = logOf();
    const served = serve(context, daemon, log);
    context.send('SIGHUP');
    await Promise.resolve();
    context.send('SIGTERM');
    drained();
    expect(await served).toBe(0);
    expect(told).toEqual(['start', 'reload', 'drain']);
    expect(lines().map(({ msg, level }) => `${level} ${msg}`)).toContain('error config.reload_failed');
  });

  it('cleans up and rethrows what kept it from starting', async () => {
    const { daemon, told, drained } = scriptedDaemon(() => Promise.reject(new Error('the port is taken')));
    drained();
    await expect(serve(memoryContext(), daemon, logOf().log)).rejects.toThrow('the port is taken');
    expect(told).toEqual(['start', 'cancel']);
  });

  it('leaves the signals alone once it has ended', async () => {
    const { daemon, told, drained } = scriptedDaemon();
    const context = memoryContext();
    const served = serve(context, daemon, logOf().log);
    context.send('SIGTERM');
    drained();
    await served;
    context.send('SIGTERM');
    expect(told).toEqual(['start', 'drain']);
  });
});
