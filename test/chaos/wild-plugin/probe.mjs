// Loaded into a daemon before its program: writes its event-loop delay and memory into a file, and begins anew when that file is gone.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const file = process.env.PROBE_FILE;
if (isMainThread && file) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let first = process.memoryUsage.rss();
  let most = first;
  const sample = () => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const tell = () => {
    if (!existsSync(file)) {
      delay.reset();
      first = process.memoryUsage.rss();
      most = first;
    }
    const seen = { p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6, grewMb: (most - first) / 1_048_576 };
    writeFileSync(`${file}.new`, JSON.stringify(seen));
    renameSync(`${file}.new`, file);
  };
  setInterval(sample, 10).unref();
  setInterval(tell, 100).unref();
}
