// Starts a file of this package in a worker or a process, compiled in an installation and as TypeScript in a checkout.
import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

/** `name` with the ending of the file at `url`: `.ts` in a checkout, `.js` once compiled. */
export function siblingOf(url: string, name: string): URL {
  return new URL(`./${name}${isTypeScript(url) ? '.ts' : '.js'}`, url);
}

export function startWorker(entry: URL, workerData: unknown): Worker {
  // Whatever loader the parent was started with is not the worker's.
  const options = { workerData, execArgv: [] };
  if (!isTypeScript(entry.href)) return new Worker(entry, options);
  // A worker of Node 20 ignores the loader that --import registers when its own entry is TypeScript.
  const code = `import(${JSON.stringify(new URL('./esm/api/index.mjs', tsxLoader()).href)}).then(({ register }) => {
    register();
    return import(${JSON.stringify(entry.href)});
  })`;
  return new Worker(code, { ...options, eval: true });
}

export function startProcess(entry: URL, args: readonly string[]): ChildProcess {
  const execArgv = isTypeScript(entry.href) ? ['--import', tsxLoader()] : [];
  return fork(fileURLToPath(entry), args, { execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
}

function isTypeScript(url: string): boolean {
  return url.endsWith('.ts');
}

/** Node 20 cannot read TypeScript, and later ones do not take it from node_modules: tsx can do both. */
function tsxLoader(): string {
  return pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
}
