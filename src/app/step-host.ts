// What steps see of the daemon they run in: where it is, what they may reach, and the few variables they are given.
import type { Settings } from '../config/load-settings.ts';
import type { HostSettings } from '../steps/api.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** `apiUrl`: base URL of this daemon's API, once it listens. */
export function createStepHost(settings: Settings, env: Environment, apiUrl: () => string | undefined): HostSettings {
  return {
    get apiUrl() {
      return apiUrl();
    },
    dataDir: settings.dataDir,
    estimatePerItemUsd: settings.llm.estimatePerItem,
    programEnv: pickVariables(env, ['PATH', 'HOME', 'LANG', 'TMPDIR']),
    get allowPrivateHosts() {
      const own = apiUrl();
      // Its own API is no private address to a daemon.
      return own === undefined
        ? settings.http.allowPrivateHosts
        : [...settings.http.allowPrivateHosts, new URL(own).host];
    },
  };
}

export function pickVariables(env: Environment, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = env[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
