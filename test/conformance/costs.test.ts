// The ledger, budgets and threads in SQL: a budget is never passed, a call counts once, a thread is seen as it was first seen.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { countBudgetGrants, type Reservation, reserveCost } from '../../src/store/budgets.ts';
import {
  appendConversation,
  loadConversation,
  loadThread,
  takeOverConversations,
} from '../../src/store/conversations.ts';
import type { CostPlace, Spent } from '../../src/store/cost-place.ts';
import { readCostSums, warnOfBudget } from '../../src/store/cost-totals.ts';
import { addCost, loseDeadHolds, pruneCosts, settleCost } from '../../src/store/costs.ts';
import { findLlmResponse, pruneLlmResponses } from '../../src/store/llm-responses.ts';
import { settleLlmCall } from '../../src/store/settle-llm-call.ts';
import { createTestDatabase, databaseVariants, optionsOf, type TestDatabase } from '../support/database.ts';
import { sql, testPipeline } from '../support/http-world.ts';

const month = '2026-03';
const at = new Date('2026-03-01T12:00:00Z');
const tables = [
  'costs',
  'cost_totals',
  'budget_grants',
  'llm_responses',
  'conversations',
  'queue',
  'runs',
  'step_runs',
];
const onModel = {
  provider: 'openai',
  model: 'small',
  promptHash: 'abc',
  promptTokens: 100,
  completionTokens: 50,
  cachedTokens: 10,
};

describe.each(databaseVariants)('costs on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, optionsOf(variant));
    db = test.db;
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of tables) await sql(db, `delete from cronwright.${table}`);
  });

  /** A run that is claimed, and an attempt of its step. */
  async function claimed(changes: Partial<CostPlace> = {}): Promise<CostPlace> {
    const run = createNewRun(testPipeline('build'), 'light', { origin: 'api' });
    await enqueueRuns(db, [run]);
    const [claim] = await claimRuns(db, {
      routes: ['default'],
      weight: 'light',
      limit: 1,
      node: uuidv7(),
      leaseMs: 30_000,
    });
    return placeOf(run.id, { token: claim?.token ?? 0, ...changes });
  }

  const placeOf = (runId: string, changes: Partial<CostPlace> = {}): CostPlace => ({
    ...{ tenant: 'default', pipeline: 'build', runId, wholeId: runId, step: 'ask', item: -1, attempt: 1, token: 1 },
    idempotencyKey: `${runId}/ask`,
    ...changes,
  });
  const reserve = (by: CostPlace, usd: number, rest: Partial<Reservation> = {}) =>
    reserveCost(db, { id: uuidv7(), by, spent: { what: 'llm', usd }, limits: {}, month, ...rest }, at);
  const sumsOf = async (by: CostPlace) => {
    const sums = await readCostSums(db, by.tenant, [`run:${by.wholeId}`, `month:${month}`]);
    return Object.fromEntries(
      sums.map(({ key, spentUsd, heldUsd, unknownUsd }) => [key.slice(0, 3), [spentUsd, heldUsd, unknownUsd]]),
    );
  };
  const rowsOf = (by: CostPlace) =>
    sql<{ state: string; usd: string }>(
      db,
      `select state, usd from cronwright.costs where whole_id = '${by.wholeId}' order by id`,
    );

  it('holds a budget however many reserve at once', async () => {
    const runs = await Promise.all([placeOf(uuidv7()), placeOf(uuidv7())]);
    const asked = Array.from({ length: 32 }, (_, i) =>
      reserve(runs[i % 2] as CostPlace, 0.3, { limits: { perRun: 1.2, perMonth: 2 } }),
    );
    const given = await Promise.all(asked);
    // Four times 0.30 a run, and six of both within 2.00.
    expect(given.filter((one) => one.ok)).toHaveLength(6);
    const [sum] = await readCostSums(db, 'default', [`month:${month}`]);
    expect(sum).toMatchObject({ heldUsd: 1.8, spentUsd: 0, limitUsd: 2 });
    expect((await rowsOf(runs[0] as CostPlace)).length + (await rowsOf(runs[1] as CostPlace)).length).toBe(6);
  });

  it('says which budget has no room, and leaves nothing behind', async () => {
    const by = placeOf(uuidv7());
    await reserve(by, 0.9, { limits: { perRun: 1 } });
    const refused = await reserve(by, 0.2, { limits: { perRun: 1, perMonth: 5 } });
    expect(refused).toMatchObject({ ok: false, exceeded: [{ key: `run:${by.runId}`, heldUsd: 0.9, limitUsd: 1 }] });
    expect(await sumsOf(by)).toEqual({ run: [0, 0.9, 0], mon: [0, 0.9, 0] });
  });

  it('gives what fits to the last millionth', async () => {
    const by = placeOf(uuidv7());
    for (let i = 0; i < 10; i += 1) expect((await reserve(by, 0.1, { limits: { perRun: 1 } })).ok).toBe(true);
    expect((await reserve(by, 0.000001, { limits: { perRun: 1 } })).ok).toBe(false);
  });

  it('takes one reservation that is sent twice for one', async () => {
    const by = placeOf(uuidv7());
    const id = uuidv7();
    await reserve(by, 0.5, { id });
    expect(await reserve(by, 0.5, { id })).toMatchObject({ ok: true, sums: [] });
    expect(await sumsOf(by)).toEqual({ run: [0, 0.5, 0], mon: [0, 0.5, 0] });
  });

  it('puts what was spent in place of what was held, once, also where it is more', async () => {
    const by = placeOf(uuidv7());
    const held = await reserve(by, 0.5, { limits: { perRun: 0.6 } });
    const id = held.ok ? held.id : '';
    await settleCost(db, 'default', id, { what: 'llm', usd: 0.7, llm: onModel });
    expect(await settleCost(db, 'default', id, { what: 'llm', usd: 9 })).toEqual([]);
    expect(await settleCost(db, 'default', id, undefined)).toEqual([]);
    expect(await sumsOf(by)).toEqual({ run: [0.7, 0, 0], mon: [0.7, 0, 0] });
    expect((await reserve(by, 0.01, { limits: { perRun: 0.6 } })).ok).toBe(false);
    const [row] = await sql(db, `select prompt_tokens, held_usd, usd from cronwright.costs where id = '${id}'`);
    expect(row).toEqual({ prompt_tokens: 100, held_usd: '0.500000', usd: '0.700000' });
  });

  it('frees what was held where nothing was spent', async () => {
    const by = placeOf(uuidv7());
    const held = await reserve(by, 0.5);
    await settleCost(db, 'default', held.ok ? held.id : '', undefined);
    expect(await sumsOf(by)).toEqual({ run: [0, 0, 0], mon: [0, 0, 0] });
    expect(await rowsOf(by)).toEqual([]);
  });

  it('adds what is sent twice once, and every attempt for itself', async () => {
    const by = placeOf(uuidv7());
    const id = uuidv7();
    const spent: Spent = { what: 'api:maps', usd: 0.25, units: { calls: 5 } };
    expect(await addCost(db, id, by, spent, month)).toHaveLength(2);
    expect(await addCost(db, id, by, spent, month)).toEqual([]);
    await addCost(db, uuidv7(), { ...by, attempt: 2 }, spent, month);
    expect(await sumsOf(by)).toEqual({ run: [0.5, 0, 0], mon: [0.5, 0, 0] });
  });

  it('lets people go beyond a budget by what was asked, once an answer', async () => {
    const by = placeOf(uuidv7());
    await reserve(by, 0.9, { limits: { perRun: 1 } });
    const granted = { n: 1, by: 'alice' };
    expect((await reserve(by, 0.4, { limits: { perRun: 1 }, granted })).ok).toBe(true);
    expect((await reserve(by, 0.4, { limits: { perRun: 1 }, granted })).ok).toBe(false);
    expect(await countBudgetGrants(db, by)).toBe(1);
    const [sum] = await readCostSums(db, 'default', [`run:${by.runId}`]);
    expect(sum).toMatchObject({ heldUsd: 1.3, extraUsd: 0.3 });
  });

  it('is told once that a budget is near its end', async () => {
    const by = placeOf(uuidv7());
    await reserve(by, 0.9, { limits: { perRun: 1 } });
    const told = await Promise.all([1, 2, 3].map(() => warnOfBudget(db, 'default', `run:${by.runId}`)));
    expect(told.filter(Boolean)).toHaveLength(1);
  });

  it('counts what a dead claim held as spent at its estimate, as unknown, until its attempt has a word after all', async () => {
    const alive = await claimed();
    const dead = await claimed({ token: 0 });
    const ended = placeOf(uuidv7());
    const held = await Promise.all([alive, dead, ended].map((by) => reserve(by, 0.5)));
    expect(await loseDeadHolds(db)).toBe(2);
    expect(await loseDeadHolds(db)).toBe(0);
    expect(await rowsOf(alive)).toMatchObject([{ state: 'held' }]);
    expect(await rowsOf(dead)).toEqual([{ state: 'unknown', usd: '0.500000' }]);
    expect(await sumsOf(dead)).toMatchObject({ run: [0, 0, 0.5], mon: [0, 0.5, 1] });
    const id = held[1]?.ok ? held[1].id : '';
    await settleCost(db, 'default', id, { what: 'llm', usd: 0.2 });
    expect(await sumsOf(dead)).toMatchObject({ run: [0.2, 0, 0], mon: [0.2, 0.5, 0.5] });
  });

  it('gives up what an earlier attempt of the step held', async () => {
    const by = await claimed();
    await reserve(by, 0.5);
    await sql(
      db,
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms)
      values ('${by.runId}', 'ask', -1, 'default', 'running', 2, 1, 1, 0)`,
    );
    expect(await loseDeadHolds(db)).toBe(1);
  });

  it('removes old rows of the ledger, but nothing that is held', async () => {
    const by = placeOf(uuidv7());
    await addCost(db, uuidv7(), by, { what: 'a', usd: 1 }, month, at);
    await reserve(by, 0.5);
    await pruneCosts(db, 86_400_000, new Date('2026-03-03T00:00:00Z'));
    expect(await rowsOf(by)).toMatchObject([{ state: 'held' }]);
    expect(await sumsOf(by)).toMatchObject({ mon: [1, 0.5, 0] });
  });

  describe('a call of a model', () => {
    const response = {
      ...{ text: 'a model', data: null, provider: 'openai', model: 'small' },
      ...{ promptTokens: 100, completionTokens: 50, cachedTokens: 10, usd: 0.02 },
    };
    const exchange = {
      thread: 'main',
      key: 'k/1',
      messages: [
        { role: 'user', content: 'what?' },
        { role: 'assistant', content: 'a model' },
      ],
    } as const;

    it('is settled with its answer and its words, or not at all', async () => {
      const by = await claimed();
      const held = await reserve(by, 0.05);
      const reservationId = held.ok ? held.id : '';
      const call = { by, reservationId, cost: { what: 'llm', usd: 0.02, llm: onModel }, exchange, month };
      const kept = { hash: 'abc', response, ttlMs: 1_000 };
      const settled = await settleLlmCall(db, { ...call, response: kept }, at);
      expect(settled).toMatchObject({ isOurs: true, sums: [{ spentUsd: 0.02 }, { spentUsd: 0.02 }] });
      expect(await findLlmResponse(db, 'default', 'abc', at)).toEqual(response);
      expect(await findLlmResponse(db, 'other', 'abc', at)).toBeUndefined();
      expect(await loadConversation(db, by, 'main')).toEqual(exchange.messages);
    });

    it('of a run that is lost costs what it cost, and says nothing', async () => {
      const by = await claimed({ token: 0 });
      const cost = { what: 'llm', usd: 0.02, llm: onModel };
      expect(await settleLlmCall(db, { by, cost, exchange, month })).toMatchObject({ isOurs: false });
      expect(await sumsOf(by)).toMatchObject({ run: [0.02, 0, 0] });
      expect(await loadThread(db, by.runId, 'main')).toEqual([]);
    });

    it('is forgotten after its time, and beyond what a tenant may keep', async () => {
      const by = await claimed();
      for (const [i, hash] of ['a', 'b', 'c'].entries()) {
        const then = new Date(at.getTime() + i * 1_000);
        await settleLlmCall(db, { by, response: { hash, response, ttlMs: 60_000 }, month }, then);
      }
      expect(await findLlmResponse(db, 'default', 'a', new Date('2026-03-01T12:01:00Z'))).toBeUndefined();
      await pruneLlmResponses(db, at, 2);
      const left = await Promise.all(['a', 'b', 'c'].map((hash) => findLlmResponse(db, 'default', hash, at)));
      expect(left.map((one) => one !== undefined)).toEqual([false, true, true]);
    });
  });

  describe('a thread', () => {
    const say = (by: CostPlace, key: string, ...contents: string[]) =>
      appendConversation(db, by, {
        thread: 'main',
        key,
        messages: contents.map((content) => ({ role: 'user' as const, content })),
      });
    const heard = async (by: CostPlace) => (await loadConversation(db, by, 'main')).map(({ content }) => content);

    it('keeps the words of many who speak at once, each call together', async () => {
      const by = await claimed();
      const items = Array.from({ length: 16 }, (_, item) => ({
        ...by,
        item,
        idempotencyKey: `${by.runId}/ask/${item}`,
      }));
      await Promise.all(items.map((one) => say(one, `${one.idempotencyKey}/1`, `${one.item} a`, `${one.item} b`)));
      const said = await heard({ ...by, idempotencyKey: 'another' });
      expect(said).toHaveLength(32);
      for (let i = 0; i < 32; i += 2) expect(said[i + 1]).toBe(said[i]?.replace(' a', ' b'));
      expect((await loadThread(db, by.runId, 'main')).map(({ seq }) => seq)).toEqual(said.map((_, i) => i + 1));
    });

    it('is seen by a repeated attempt as the first one saw it, whose words the last one takes', async () => {
      const first = await claimed();
      const other = { ...first, step: 'other', idempotencyKey: `${first.runId}/other` };
      const before = { ...first, step: 'before', idempotencyKey: `${first.runId}/before` };
      await say(before, 'before/1', 'hello');
      await say(first, 'ask/1', 'q', 'a');
      expect(await heard(first)).toEqual(['hello', 'q', 'a']);
      await say(other, 'other/1', 'meanwhile');
      const second = { ...first, attempt: 2 };
      expect(await heard(second)).toEqual(['hello']);
      await say(second, 'ask/1', 'q', 'better', 'and more');
      expect(await heard(second)).toEqual(['hello', 'q', 'better', 'meanwhile', 'and more']);
      await say({ ...second, attempt: 3 }, 'ask/1', 'q');
      expect(await heard(other)).toEqual(['hello', 'q', 'meanwhile']);
    });

    it('hears nothing from a worker that has lost the run', async () => {
      const by = await claimed();
      expect(await say({ ...by, token: by.token + 1 }, 'ask/1', 'late')).toBe(false);
      expect(await heard(by)).toEqual([]);
    });

    it('goes along with what a later run keeps', async () => {
      const by = await claimed();
      const of = (step: string, item = -1) => ({ ...by, step, item, idempotencyKey: `${by.runId}/${step}/${item}` });
      await say(of('plan'), 'plan/1', 'plan');
      await say(of('write', 0), 'write/0', 'page 0');
      await say(of('write', 1), 'write/1', 'page 1');
      await say(of('check'), 'check/1', 'check');
      await sql(
        db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms)
        values ('${by.runId}', 'write', 0, 'default', 'completed', 1, 0, 1, 0)`,
      );
      const to = uuidv7();
      await takeOverConversations(db, { from: by.runId, to }, { kept: ['plan'], continued: ['write'] });
      expect((await loadThread(db, to, 'main')).map(({ content }) => content)).toEqual(['plan', 'page 0']);
      expect(await heard(by)).toHaveLength(4);
    });
  });
});
