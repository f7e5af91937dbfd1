// A bounded memory of what was computed lately: compiled patterns, zones and day tables are shared through it.

/**
 * Keeps what was used lately, at most `capacity` entries. Two generations instead of an order of use: what nobody
 * asked for during a whole generation goes. Dropping one entry at a time from a Map costs more than most of what is
 * remembered here.
 */
export class RecentCache<Key, Value> {
  readonly #generation: number;
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();

  constructor(capacity: number) {
    this.#generation = Math.max(1, Math.floor(capacity / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The remembered value, or the one `make` returns; where `make` throws, nothing is remembered. */
  getOrMake(key: Key, make: () => Value): Value {
    const young = this.#young.get(key);
    if (young !== undefined) {
      return young;
    }
    const value = this.#old.get(key) ?? make();
    this.#young.set(key, value);
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    return value;
  }
}
