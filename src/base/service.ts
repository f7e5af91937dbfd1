// The one contract of long-lived things: start, and a stop that returns when it has stopped.

export interface Service {
  readonly name: string;
  /** Begins the work. A second call while running does nothing. */
  start(): Promise<void>;
  /** Ends the work and returns when nothing runs any more. Safe before start, safe twice. */
  stop(): Promise<void>;
}

/**
 * A service around one loop. `loop` runs until its signal aborts; what it throws goes to `onCrash`, and the
 * loop begins again after `restartDelayMs`, so that one bad pass never ends the daemon's work.
 */
export function createLoopService(options: {
  name: string;
  loop: (signal: AbortSignal) => Promise<void>;
  onCrash: (error: unknown) => void;
  restartDelayMs?: number;
}): Service {
  let controller: AbortController | undefined;
  let running: Promise<void> | undefined;
  const restartDelayMs = options.restartDelayMs ?? 1_000;

  async function keepRunning(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await options.loop(signal);
      } catch (error) {
        if (signal.aborted) return;
        options.onCrash(error);
      }
      // Also after a loop that has returned by itself: one that returns at once would leave no time for anything else.
      await sleepUnlessAborted(restartDelayMs, signal);
    }
  }

  return {
    name: options.name,
    async start() {
      if (running) return;
      controller = new AbortController();
      running = keepRunning(controller.signal);
    },
    async stop() {
      controller?.abort();
      await running;
      running = undefined;
      controller = undefined;
    },
  };
}

/** Waits `ms`, or until the signal aborts; never rejects. Returns false where it was cut short. */
export function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const done = (whole: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(whole);
    };
    const onAbort = () => done(false);
    const timer = setTimeout(() => done(true), ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
