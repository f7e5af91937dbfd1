// A wake-up: lets a loop sleep until a time or until somebody says there is something to do.

export interface WakeUp {
  /** Ends the current wait, or the next one if nobody waits now. Many calls are one wake-up. */
  wake(): void;
  /** Waits at most `ms`; true where it was woken, false where the time ran out or the signal aborted. */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

export function createWakeUp(): WakeUp {
  let pending = false;
  let release: ((woken: boolean) => void) | undefined;
  return {
    wake() {
      if (release) release(true);
      else pending = true;
    },
    wait(ms, signal) {
      if (pending || signal.aborted) {
        const woken = pending;
        pending = false;
        return Promise.resolve(woken);
      }
      return new Promise((resolve) => {
        const finish = (woken: boolean) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          release = undefined;
          resolve(woken);
        };
        const onAbort = () => finish(false);
        const timer = setTimeout(() => finish(false), ms);
        signal.addEventListener('abort', onAbort, { once: true });
        release = finish;
      });
    },
  };
}
