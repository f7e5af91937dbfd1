// Where time comes from: everything above takes a Clock instead of asking the machine.

export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds on a clock that never goes backwards; only differences mean anything. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** A machine clock shifted so that `now()` follows another clock (the database's), measured by `measure`. */
export interface AdjustableClock extends Clock {
  /** Milliseconds to add to the machine's clock to get the followed clock's time. */
  offsetMs: number;
}

/** A clock that adds `offsetMs` to the machine's; the offset is set by whoever measures it. */
export function createAdjustableClock(base: Clock = systemClock): AdjustableClock {
  return {
    offsetMs: 0,
    now() {
      return base.now() + this.offsetMs;
    },
    monotonic: () => base.monotonic(),
  };
}
