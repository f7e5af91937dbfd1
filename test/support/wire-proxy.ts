// A proxy for PostgreSQL's wire protocol that knows each statement passing by, and can refuse it, hold it or cut its connection.
import { createServer, connect as netConnect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, createFrames, type Frame, frame, names, startupCode, textOf } from './wire-frames.ts';

/** One round trip that a client asks for: a simple query, or everything up to a Sync. */
export interface WireQuery {
  /** Of the prepared statement; the first word of the text where it has no name (`begin`, `commit`, `set`). */
  readonly name: string;
  readonly text: string;
  /** How the connection stood before it. */
  readonly state: 'idle' | 'transaction' | 'failed';
  /** Whether its success makes something durable: a COMMIT, or a statement with a name outside a transaction. */
  readonly commits: boolean;
  /** Names of the statements of the same transaction before it. */
  readonly within: readonly string[];
  /** Number of its connection, from 1. */
  readonly connection: number;
  /** Whether its bytes hold this text: a parameter, for one. */
  mentions(text: string): boolean;
}

/** `conflict`: answered by 40001, and rolled back. `cut_before`: the server never hears of it. `cut_after`: nobody hears of its answer. */
export type WireFault = 'conflict' | 'cut_before' | 'cut_after';

export interface WireRules {
  fault?: ((query: WireQuery) => WireFault | undefined) | undefined;
  /** Before the server gets it. */
  beforeForward?: ((query: WireQuery) => Promise<unknown> | unknown) | undefined;
  /** The server has answered with so many rows, the client has not heard of it. */
  afterAnswer?: ((query: WireQuery, rows: number) => Promise<unknown> | unknown) | undefined;
  /** Every query is that much later. */
  delayMs?: number | undefined;
}

export interface WireProxy {
  readonly url: string;
  /** In force from the next query on; replaced as a whole. */
  rules: WireRules;
  /** How often each fault was injected. */
  readonly injected: Readonly<Record<WireFault, number>>;
  /** Passes nothing on until false. */
  hold(isHeld: boolean): void;
  /** Ends all connections of now. */
  cutAll(): void;
  close(): Promise<void>;
}

export async function startWireProxy(target: string, rules: WireRules = {}): Promise<WireProxy> {
  const { hostname, port } = new URL(target);
  const cuts = new Set<() => void>();
  const injected = { conflict: 0, cut_before: 0, cut_after: 0 };
  let connections = 0;
  let held: { over: Promise<void>; end: () => void } | undefined;

  const server = createServer((client) => {
    connections += 1;
    const cut = serve(client, {
      number: connections,
      dial: () => netConnect(Number(port || 5432), hostname),
      rules: () => proxy.rules,
      held: () => held?.over,
      injected: (fault) => {
        injected[fault] += 1;
      },
      ended: () => cuts.delete(cut),
    });
    cuts.add(cut);
  });
  const own = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  const url = new URL(target);
  url.host = `127.0.0.1:${own}`;

  function cutAll(): void {
    for (const cut of [...cuts]) cut();
  }
  const proxy: WireProxy = {
    url: url.href,
    rules,
    injected,
    cutAll,
    hold(isHeld) {
      held?.end();
      held = undefined;
      if (!isHeld) return;
      let end = () => {};
      const over = new Promise<void>((resolve) => {
        end = resolve;
      });
      held = { over, end };
    },
    close() {
      held?.end();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cutAll();
      return closed;
    },
  };
  return proxy;
}

interface Serving {
  number: number;
  dial(): Socket;
  rules(): WireRules;
  held(): Promise<void> | undefined;
  injected(fault: WireFault): void;
  ended(): void;
}

/** Messages of a client that one ReadyForQuery answers. */
interface Unit {
  frames: readonly Frame[];
  at: number;
}

type State = WireQuery['state'];
const states: Readonly<Record<string, State>> = { I: 'idle', T: 'transaction', E: 'failed' };

/** Carries one connection; returns what cuts it. */
function serve(client: Socket, { number, dial, rules, held, injected, ended }: Serving): () => void {
  let upstream: Socket | undefined;
  let isOver = false;
  let isStarted = false;
  let state: State = 'idle';
  let within: string[] = [];
  /** Texts of the prepared statements. */
  const prepared = new Map<string, string>();
  const units: Unit[] = [];
  let unit: Frame[] = [];
  let isWorking = false;
  let answer: { frames: Frame[]; done: (frames: Frame[]) => void } | undefined;

  function cut(): void {
    if (isOver) return;
    isOver = true;
    client.destroy();
    upstream?.destroy();
    answer?.done([]);
    ended();
  }

  const fromClient = createFrames({ startsUntyped: true }, (one) => {
    if (one.type === '') return start(one);
    // Passwords, while the server asks for them.
    if (!isStarted) return void upstream?.write(one.bytes);
    unit.push(one);
    if (one.type !== 'Q' && one.type !== 'S' && one.type !== 'X') return;
    units.push({ frames: unit, at: performance.now() });
    unit = [];
    void work();
  });
  const fromServer = createFrames({ startsUntyped: false }, (one) => {
    if (one.type === 'Z') isStarted = true;
    // Notices and notifications come whenever they like.
    if (!answer || one.type === 'A') {
      client.write(one.bytes);
      return;
    }
    answer.frames.push(one);
    if (one.type === 'Z') answer.done(answer.frames);
  });

  function start(one: Frame): void {
    const code = startupCode(one);
    if (code === 'encryption') return void client.write('N');
    upstream = dial();
    upstream.setNoDelay(true);
    upstream.on('data', fromServer).on('error', cut).on('close', cut);
    upstream.write(one.bytes);
  }

  function ask(bytes: readonly Buffer[]): Promise<Frame[]> {
    return new Promise((resolve) => {
      answer = {
        frames: [],
        done: (frames) => {
          answer = undefined;
          resolve(frames);
        },
      };
      for (const one of bytes) upstream?.write(one);
    });
  }

  async function work(): Promise<void> {
    if (isWorking) return;
    isWorking = true;
    for (let next = units.shift(); next && !isOver; next = units.shift()) {
      try {
        await pass(next);
      } catch (error) {
        // A rule that throws is a mistake of the test: nothing may go on as if it had held.
        cut();
        throw error;
      }
    }
    isWorking = false;
  }

  async function pass({ frames, at }: Unit): Promise<void> {
    const last = frames.at(-1);
    if (last?.type === 'X') return void upstream?.end(last.bytes);
    const query = describe(frames);
    const { delayMs, beforeForward, afterAnswer, fault } = rules();
    if (delayMs) await sleep(Math.max(0, at + delayMs - performance.now()));
    await held();
    await beforeForward?.(query);
    if (isOver) return;
    const wanted = fault?.(query);
    if (wanted) injected(wanted);
    if (wanted === 'cut_before') return cut();
    const answered = wanted === 'conflict' ? await refuse(frames, query) : await ask(frames.map(({ bytes }) => bytes));
    await afterAnswer?.(query, answered.filter(({ type }) => type === 'D').length);
    if (wanted === 'cut_after') cut();
    if (isOver) return;
    note(query, answered);
    for (const one of answered) client.write(one.bytes);
  }

  /** The server does what it would do on a conflict: it fails the transaction, or ends it where it is the commit that fails. */
  async function refuse(frames: readonly Frame[], query: WireQuery): Promise<Frame[]> {
    const parses = frames.filter(({ type }) => type === 'P');
    const begun =
      parses.length > 0
        ? (await ask([...parses.map(({ bytes }) => bytes), frame('S')])).filter(({ type }) => type !== 'Z')
        : [];
    // A text that does not parse fails by itself.
    if (begun.some(({ type }) => type === 'E')) return [...begun, ...answerOf(state)];
    if (query.name === 'commit') await ask([frame('Q', 'rollback\0')]);
    else if (state === 'transaction') await ask([frame('Q', 'select 1/0\0')]);
    const after = state === 'transaction' && query.name !== 'commit' ? 'failed' : 'idle';
    return [...begun, ...answerOf(after, { code: '40001', message: 'restart transaction (injected)' })];
  }

  function describe(frames: readonly Frame[]): WireQuery {
    for (const one of frames) {
      const parsed = one.type === 'P' ? names(one, 2) : undefined;
      if (parsed) prepared.set(parsed[0] ?? '', parsed[1] ?? '');
    }
    const bound = frames.find(({ type }) => type === 'B');
    const simple = frames.find(({ type }) => type === 'Q');
    const named = bound ? (names(bound, 2)[1] ?? '') : '';
    const text = simple ? textOf(simple) : (prepared.get(named) ?? '');
    const name = named === '' ? (/^\s*(\w+)/.exec(text)?.[1] ?? '').toLowerCase() : named;
    const commits = name === 'commit' ? state === 'transaction' : state === 'idle' && named !== '';
    const mentions = (part: string) => frames.some(({ bytes }) => bytes.includes(part));
    return { name, text, state, commits, within: [...within], connection: number, mentions };
  }

  function note({ name }: WireQuery, answered: readonly Frame[]): void {
    const last = answered.at(-1);
    if (last?.type !== 'Z') {
      cut();
      return;
    }
    state = states[String.fromCharCode(last.bytes[5] ?? 0)] ?? 'idle';
    if (state === 'idle') within = [];
    else within.push(name);
  }

  client.setNoDelay(true);
  client.on('data', fromClient);
  client.on('error', cut).on('close', cut);
  return cut;
}

/** Faults by chance, the same for the same seed and order of queries; only where something is committed or can be refused. */
export function randomFaults(
  random: () => number,
  {
    conflict = 0,
    cutBefore = 0,
    cutAfter = 0,
    among = () => true,
  }: {
    conflict?: number;
    cutBefore?: number;
    cutAfter?: number;
    among?: (query: WireQuery) => boolean;
  },
): (query: WireQuery) => WireFault | undefined {
  return (query) => {
    if (query.name === 'rollback' || query.state === 'failed' || !among(query)) return undefined;
    const drawn = random();
    // A session that is set up, and a transaction that begins, have nothing to conflict with.
    const canConflict = query.commits || (query.state === 'transaction' && query.name !== 'set');
    if (drawn < conflict) return canConflict ? 'conflict' : undefined;
    if (!query.commits) return undefined;
    if (drawn < conflict + cutBefore) return 'cut_before';
    return drawn < conflict + cutBefore + cutAfter ? 'cut_after' : undefined;
  };
}
