// What a step is given, built from one attempt and the host's services; after the attempt has ended nothing passes any more.
import type { KeptValue } from '../domain/expressions/kept-value.ts';
import { isMediaType } from '../domain/media-type.ts';
import type { AskedKind } from '../domain/wait.ts';
import type {
  Compensation,
  CostEntry,
  Delivery,
  HostSettings,
  Json,
  LlmMessage,
  LlmRequest,
  Log,
  ProgramLimits,
  RunToStart,
  StartedRun,
  StepContext,
  Suspension,
  SuspensionAnswer,
} from './api.ts';
import { StepError } from './api.ts';
import { type AttemptLog, createAttemptLog } from './attempt-log.ts';
import type { Attempt, AttemptServices } from './attempt-services.ts';
import { encodeOutput } from './encode-output.ts';
import { createGuardedFetch, type GuardedFetch } from './guarded-fetch.ts';
import { reachableAddresses } from './reachable-addresses.ts';
import type { SecretMask } from './secret-mask.ts';
import { storableText } from './storable-text.ts';
import { readSuspension } from './suspension.ts';

const noLimits: ProgramLimits = {};
const eventType = /^[a-z][a-z0-9_]{0,99}$/;

export interface OpenQuestion {
  readonly kind: AskedKind | 'children';
  readonly key: string;
  readonly untilMs: number;
}

/**
 * A class, and everything made on first use: most light steps use nothing but their input, and there are tens of thousands a
 * second. The functions are own properties or come whole from getters, so that a step may take its context apart.
 */
export class AttemptContext implements StepContext {
  readonly idempotencyKey: string;
  readonly token: number;
  readonly attempt: number;
  readonly tenant: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly step: string;
  readonly item: number | undefined;
  readonly dryRun: boolean;
  readonly limits: ProgramLimits;
  readonly env: Readonly<Record<string, string>>;
  readonly traceparent: string | undefined;
  readonly host: HostSettings;
  readonly delivery: Delivery | undefined;
  readonly compensation: Compensation | undefined;

  readonly #attempt: Attempt;
  readonly #services: AttemptServices;
  readonly #mask: SecretMask;
  #controller: AbortController | undefined;
  #abortedBy: Error | undefined;
  #log: AttemptLog | undefined;
  #workspace: string | undefined;
  #fetch: GuardedFetch | undefined;
  #hasEnded = false;
  /** How many questions of a kind this attempt has put without a key. */
  #asked: Map<string, number> | undefined;
  #open: readonly OpenQuestion[] | undefined;
  #started = 0;
  #appended: Map<string, number> | undefined;

  constructor(attempt: Attempt, services: AttemptServices, mask: SecretMask) {
    this.idempotencyKey = attempt.idempotencyKey;
    this.token = attempt.token;
    this.attempt = attempt.attempt;
    this.tenant = attempt.tenant;
    this.runId = attempt.compensation?.doneBy ?? attempt.runId;
    this.pipeline = attempt.pipeline;
    this.step = attempt.step;
    this.item = attempt.item;
    this.dryRun = attempt.dryRun;
    this.limits = attempt.limits ?? noLimits;
    this.env = attempt.env;
    this.traceparent = attempt.traceparent;
    this.host = services.host;
    this.delivery = attempt.delivery;
    this.compensation = attempt.compensation && { reason: attempt.compensation.reason };
    this.#attempt = attempt;
    this.#services = services;
    this.#mask = mask;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedBy !== undefined) this.#controller.abort(this.#abortedBy);
    }
    return this.#controller.signal;
  }

  get workspace(): string {
    this.#workspace ??= this.#services.workspace(this.#attempt);
    return this.#workspace;
  }

  get log(): Log {
    return this.#attemptLog().log;
  }

  readonly output: StepContext['output'] = (stream, chunk) => {
    if (!this.#hasEnded) this.#attemptLog().output(stream, chunk);
  };

  readonly progress: StepContext['progress'] = ({ done, total, message }) => {
    if (this.#hasEnded) return;
    const progress = message === undefined ? { done, total } : { done, total, message: this.#clean(message) };
    this.#services.progress(this.#attempt, progress);
  };

  readonly event = (type: string, data: Json): void => {
    if (this.#hasEnded) return;
    if (!eventType.test(type)) {
      const got = JSON.stringify(type);
      throw new StepError('fatal', `event type is ${got}, expected snake_case of at most 100 characters`);
    }
    this.#services.event(this.#attempt, type, encodeOutput(data, this.#mask, 'event data').output);
  };

  readonly sql: StepContext['sql'] = (name, options) =>
    this.#whileRunning(async () => {
      const readOnly = options?.readOnly ?? false;
      const connection = await this.#services.sql(this.#attempt, name, { readOnly });
      const { serverUrl } = connection;
      if (serverUrl === undefined) return connection;
      return {
        query: (text, params) => connection.query(text, params),
        serverUrl: () => {
          const url = serverUrl();
          for (const secret of passwordsOf(url)) this.#mask.add(secret);
          return url;
        },
      };
    });

  get fetch(): StepContext['fetch'] {
    this.#fetch ??= createGuardedFetch(this.host);
    const { fetch } = this.#fetch;
    return (url, init) => this.#whileRunning(() => fetch(url, init));
  }

  get lookup(): StepContext['lookup'] {
    return (hostname, port) => reachableAddresses(hostname, port, this.host);
  }

  get outbox(): StepContext['outbox'] {
    return {
      put: () =>
        this.#whileRunning(async () => {
          const kept = this.#attempt.keepInput?.();
          if (kept === undefined) {
            const who = this.compensation ? 'a compensation' : 'a call from the outbox';
            throw new StepError('fatal', `${who} cannot be put into it`, { name: 'NoOutbox' });
          }
          if (!kept.ok) throw new StepError('fatal', kept.error.message, { name: kept.error.name });
          // Secrets that reached the input by other ways than a reference are masked here.
          const { output } = encodeOutput(kept.value, this.#mask, 'outbox input');
          return this.#services.putOutbox(this.#attempt, output as unknown as KeptValue);
        }),
    };
  }

  get checkpoint(): StepContext['checkpoint'] {
    return {
      load: () => this.#whileRunning(() => this.#services.loadCheckpoint(this.#attempt)),
      save: (state) =>
        this.#whileRunning(() => {
          const { output } = encodeOutput(state, this.#mask, 'checkpoint');
          return this.#services.saveCheckpoint(this.#attempt, output);
        }),
    };
  }

  get artifacts(): StepContext['artifacts'] {
    return {
      put: ({ name, mediaType, content }) =>
        this.#whileRunning(() => {
          if (typeof mediaType !== 'string' || !isMediaType(mediaType)) throw noMediaType(name, mediaType);
          const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
          return this.#services.putArtifact(this.#attempt, { name: this.#clean(name), mediaType, content: bytes });
        }),
      get: (id) => this.#whileRunning(() => this.#services.getArtifact(this.#attempt, id)),
    };
  }

  get suspend(): StepContext['suspend'] {
    return (given) => this.#whileRunning(() => this.#suspend(given));
  }

  async #suspend(given: Suspension): Promise<SuspensionAnswer> {
    if (this.delivery !== undefined || this.compensation !== undefined) {
      const who = this.compensation ? 'a compensation' : 'a call from the outbox';
      throw new StepError('fatal', `${who} cannot wait for an answer`, { name: 'NoSuspension' });
    }
    this.#asked ??= new Map();
    const asked = readSuspension(given, this.#asked, (text) => this.#clean(text));
    const form = asked.form === null ? null : encodeOutput(asked.form, this.#mask, 'form').output;
    const found = await this.#services.ask(this.#attempt, { ...asked, form });
    if (found.kind === 'answered') return found.answer;
    if (found.kind === 'failed') throw new StepError('fatal', found.error.message, { name: found.error.name });
    this.#open = [...(this.#open ?? []), { kind: asked.kind, key: asked.key, untilMs: found.untilMs }];
    throw new StepError('fatal', `the attempt waits for ${asked.key}`, { name: 'Suspended' });
  }

  get startRun(): StepContext['startRun'] {
    return (given) => this.#whileRunning(() => this.#startRun(given));
  }

  async #startRun(given: RunToStart): Promise<StartedRun> {
    if (this.delivery !== undefined || this.compensation !== undefined) {
      const who = this.compensation ? 'a compensation' : 'a call from the outbox';
      throw new StepError('fatal', `${who} cannot start runs`, { name: 'NoRuns' });
    }
    if (typeof given?.pipeline !== 'string') {
      throw new StepError('fatal', 'startRun: pipeline is missing, expected the id of a pipeline', {
        name: 'InvalidRun',
      });
    }
    this.#started += 1;
    const { key = `run/${this.#started}` } = given;
    const inputs = encodeOutput(given.inputs ?? {}, this.#mask, 'inputs').output as { [key: string]: Json };
    const started = await this.#services.startRun(this.#attempt, { ...given, inputs, key: String(key).slice(0, 200) });
    if (started !== undefined) return started;
    this.#open = [...(this.#open ?? []), { kind: 'children', key: String(key), untilMs: Number.POSITIVE_INFINITY }];
    throw new StepError('fatal', `the attempt waits for a run of ${given.pipeline}`, { name: 'Suspended' });
  }

  get llm(): StepContext['llm'] {
    return {
      ask: (given) =>
        this.#whileRunning(() => {
          // Nobody outside is told a secret, and what is asked is stored.
          const request = this.#masked(given, 'llm request') as unknown as LlmRequest;
          const ask = (question: Suspension) => this.#suspend(question);
          return this.#services.askLlm(this.#attempt, request, ask, this.signal);
        }),
    };
  }

  get cost(): StepContext['cost'] {
    const services = this.#services;
    const ask = (question: Suspension) => this.#suspend(question);
    return {
      add: (entry) => this.#whileRunning(() => services.addCost(this.#attempt, this.#maskedCost(entry))),
      reserve: (entry) => this.#whileRunning(() => services.reserveCost(this.#attempt, this.#maskedCost(entry), ask)),
      settle: (id, actual) =>
        this.#whileRunning(() =>
          services.settleCost(this.#attempt, id, actual === undefined ? undefined : this.#maskedCost(actual)),
        ),
      soFar: () => this.#whileRunning(() => services.costsSoFar(this.#attempt)),
      expect: (usd) => this.#whileRunning(() => services.expectCost(this.#attempt, usd)),
    };
  }

  get conversation(): StepContext['conversation'] {
    return {
      load: (thread = 'main') =>
        this.#whileRunning(() => this.#services.loadConversation(this.#attempt, this.#clean(thread))),
      append: (given, thread = 'main') =>
        this.#whileRunning(() => {
          const messages = this.#masked(given, 'messages') as unknown as LlmMessage[];
          this.#appended ??= new Map();
          const n = (this.#appended.get(thread) ?? 0) + 1;
          this.#appended.set(thread, n);
          const to = { thread: this.#clean(thread), key: `${this.idempotencyKey}/${n}` };
          return this.#services.appendConversation(this.#attempt, messages, to);
        }),
    };
  }

  #maskedCost(entry: CostEntry): CostEntry {
    return this.#masked(entry, 'cost') as unknown as CostEntry;
  }

  #masked(value: unknown, what: string): Json {
    return encodeOutput(value, this.#mask, what).output;
  }

  get secrets(): StepContext['secrets'] {
    return {
      get: (name) =>
        this.#whileRunning(async () => {
          const value = await this.#services.secret(this.#attempt, name);
          if (value === undefined) {
            throw new StepError('fatal', `there is no secret named ${name}`, { name: 'MissingSecret' });
          }
          this.#mask.add(value);
          return value;
        }),
    };
  }

  /** For the host: the questions of the attempt that nobody has answered yet. */
  static openQuestions(context: AttemptContext): readonly OpenQuestion[] | undefined {
    return context.#open;
  }

  /** For the host: tells the step to end. */
  static abort(context: AttemptContext, reason: Error): void {
    context.#abortedBy = reason;
    context.#controller?.abort(reason);
  }

  /** For the host: passes on unfinished lines; a step that goes on after this reaches nothing any more. */
  static end(context: AttemptContext): void {
    context.#log?.close();
    context.#fetch?.close();
    context.#hasEnded = true;
  }

  #attemptLog(): AttemptLog {
    this.#log ??= createAttemptLog((line) => this.#services.log(this.#attempt, line), this.#mask);
    return this.#log;
  }

  #clean(text: string): string {
    return storableText(this.#mask.text(text));
  }

  /** Async, so that a call after the end rejects instead of throwing where nobody expects it. */
  async #whileRunning<T>(call: () => Promise<T>): Promise<T> {
    if (!this.#hasEnded) return call();
    throw new StepError('fatal', `the attempt of ${this.step} has ended`, { name: 'AttemptEnded' });
  }
}

/** The password of a URL as it stands there and as it is meant. */
function passwordsOf(url: string): string[] {
  if (!URL.canParse(url)) return [];
  const { password, searchParams } = new URL(url);
  return [password, decodeURIComponent(password), searchParams.get('password') ?? ''].filter((text) => text !== '');
}

function noMediaType(name: string, got: unknown): StepError {
  const text = `the media type of artifact ${name} is ${JSON.stringify(got)?.slice(0, 200)}, expected type/subtype, `;
  return new StepError('fatal', `${text}with parameters or without, in visible ASCII`, { name: 'InvalidMediaType' });
}
