// Says when configuration files have changed and come to rest, so that they can be read again.
import { watch } from 'chokidar';
import type { Service } from '../base/service.ts';

/** Editors write a file in several steps; after this long without a further change it counts as written. */
const settleMs = 300;

export interface WatchConfigOptions {
  configDir: string;
  /** Called once per burst of changes, never twice at once; what it throws goes to `onError`. */
  onChange: (files: readonly string[]) => void | Promise<void>;
  onError?: (error: unknown) => void;
  /** Where file events do not arrive (network file systems): look every so many milliseconds instead. */
  pollMs?: number;
}

/** A service that watches YAML files of the configuration directory and its `pipelines/`. */
export function watchConfig(options: WatchConfigOptions): Service {
  let close: (() => Promise<void>) | undefined;
  return {
    name: 'watch-config',
    async start() {
      close ??= await startWatching(options);
    },
    async stop() {
      await close?.();
      close = undefined;
    },
  };
}

async function startWatching(options: WatchConfigOptions): Promise<() => Promise<void>> {
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let reporting: Promise<void> = Promise.resolve();

  const watcher = watch(options.configDir, {
    ignoreInitial: true,
    depth: 1,
    ignored: (path, stats) => stats?.isFile() === true && !/\.ya?ml$/.test(path),
    ...(options.pollMs === undefined ? {} : { usePolling: true, interval: options.pollMs }),
  });
  watcher.on('all', (event, path) => {
    if (event === 'addDir' || event === 'unlinkDir') return;
    changed.add(path);
    clearTimeout(timer);
    timer = setTimeout(report, settleMs);
  });
  watcher.on('error', (error) => options.onError?.(error));
  await new Promise<void>((resolve) => watcher.once('ready', () => resolve()));

  function report(): void {
    const files = [...changed].sort();
    changed.clear();
    reporting = reporting.then(() => options.onChange(files)).catch((error: unknown) => options.onError?.(error));
  }

  return async () => {
    clearTimeout(timer);
    await watcher.close();
    await reporting;
  };
}
