// A daemon's life as the outside steers it: signals in, exit code out.
import { errorMessage } from '../domain/errors.ts';
import type { Logger } from '../observe/log.ts';
import { claimStray } from '../steps/stray-errors.ts';
import type { CliContext, SignalName } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';

export interface Daemon {
  /** Resolves when it is ready; rejects with what is in its way. */
  start(): Promise<unknown>;
  /** `drain` lets running work end within its time, `cancel` does not wait for it. May be called again, and while it starts. */
  stop(how: 'drain' | 'cancel'): Promise<void>;
  /** Reads the configuration again; what is wrong with it is logged and changes nothing. */
  reload(): Promise<void>;
}

/** Runs the daemon until a signal has stopped it. Throws what keeps it from starting. */
export async function serve(context: CliContext, daemon: Daemon, log: Logger): Promise<ExitCode> {
  const watch = watchSignals(context, daemon, log);
  try {
    // A stop while it starts ends the wait for a database that does not come.
    await Promise.race([daemon.start(), watch.stopped]);
    await watch.stopped;
    return exitCodes.done;
  } catch (error) {
    // Cut short by a signal: whatever it says then is no failure.
    if (watch.stopping()) {
      await watch.stopped;
      return exitCodes.done;
    }
    await daemon.stop('cancel');
    throw error;
  } finally {
    watch.end();
    if (watch.stopping()) log.info({}, 'daemon.stopped');
    log.flush();
  }
}

function watchSignals(context: CliContext, daemon: Daemon, log: Logger) {
  let stops = 0;
  let ended: (stopping: Promise<void>) => void = () => {};
  const stopped = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const stop = (signal: SignalName) => (): void => {
    stops++;
    const how = stops === 1 ? 'drain' : 'cancel';
    if (stops <= 2) log.info({ signal, how }, how === 'drain' ? 'daemon.draining' : 'daemon.cancelling');
    ended(daemon.stop(how));
  };
  const reload = (): void => {
    log.info({ signal: 'SIGHUP' }, 'config.reloading');
    daemon.reload().catch((error: unknown) => log.error({ err: error }, 'config.reload_failed'));
  };
  const undo = [
    context.onSignal('SIGTERM', stop('SIGTERM')),
    context.onSignal('SIGINT', stop('SIGINT')),
    context.onSignal('SIGHUP', reload),
    // One forgotten promise must not end everybody's runs; where it is a step's, that step fails.
    context.onUncaught((error) => {
      if (!claimStray(error)) log.error({ err: error, error: errorMessage(error) }, 'daemon.uncaught');
    }),
  ];
  return {
    stopped,
    stopping: () => stops > 0,
    end: () => {
      for (const end of undo) end();
    },
  };
}
