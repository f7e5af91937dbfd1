// What an example is: what it needs, what it works on, which runs it starts and how one sees that they did their work.

export type Need = 'git' | 'postgresql' | 'pg_dump' | 'pdflatex';

export interface ExampleWorld {
  /** Absolute path of an empty folder for what the example works on; removed afterwards. */
  dir: string;
  /** A PostgreSQL server in which databases may be made; undefined where the example does not need one. */
  postgresUrl: string | undefined;
}

export interface RunToStart {
  pipeline: string;
  /** Default `default`. */
  tenant?: string;
  inputs?: Readonly<Record<string, unknown>>;
}

/** A question that a run waits for, as `GET /api/v1/waits` shows it. */
export interface OpenWait {
  run_id: string;
  step: string;
  kind: string;
  key: string;
  message: string | null;
  form: unknown;
}

export interface FinishedRun {
  id: string;
  tenant: string;
  pipeline: string;
  state: string;
  /** As `GET /api/v1/runs/{id}` shows it. */
  run: Readonly<Record<string, unknown>>;
  /** As `GET /api/v1/runs/{id}/steps` lists them. */
  steps: readonly Readonly<Record<string, unknown>>[];
  artifacts: readonly { id: string; name: string; media_type: string; size: number }[];
}

export interface Api {
  /** `path` stands behind `/api/v1`; tenant: `default`. Rejects with the problem's text where the answer is no success. */
  get(path: string, tenant?: string): Promise<unknown>;
  post(path: string, body?: unknown, tenant?: string): Promise<unknown>;
  bytes(path: string, tenant?: string): Promise<Uint8Array>;
}

export interface PreparedExample {
  /** Environment of the daemon, over PATH, HOME and LANG. */
  env: Readonly<Record<string, string>>;
  /** Each is started once the one before it has ended. */
  runs: readonly RunToStart[];
  /** What a person would answer; undefined: nothing yet. */
  answer?(wait: OpenWait): { decision: string; data?: unknown } | undefined;
  /** Throws where something did not come out as the README promises; returns what is worth a line. */
  check(finished: readonly FinishedRun[], api: Api): Promise<string[]>;
  /** Ends what `prepare` started. */
  stop?(): Promise<void>;
}

/** What a model is asked, as it sees it. */
export interface ModelQuestion {
  system: string;
  /** The last message. */
  prompt: string;
}

export interface Example {
  /** Its folder. */
  name: string;
  title: string;
  needs: readonly Need[];
  prepare(world: ExampleWorld): Promise<PreparedExample>;
  /** What a model could answer, where the examples run with the local stub; undefined: the stub's usual answer. */
  model?(question: ModelQuestion): string | undefined;
}
