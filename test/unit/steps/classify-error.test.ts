// Classes of thrown things, by table.

import { describe, expect, it } from 'vitest';
import { AmbiguousCommitError } from '../../../src/db/retries.ts';
import { StepError } from '../../../src/steps/api.ts';
import { classify, toStoredError } from '../../../src/steps/classify-error.ts';
import { SecretMask } from '../../../src/steps/secret-mask.ts';

const coded = (code: string) => Object.assign(new Error(code), { code });

describe('classify', () => {
  it.each([
    'ECONNRESET',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'ECONNREFUSED',
    'EPIPE',
    'EBUSY',
    'EMFILE',
    'UND_ERR_SOCKET',
    '40001',
    '40P01',
    '08006',
    '57P01',
    '53300',
  ])('calls %s transient', (code) => expect(classify(coded(code))).toBe('transient'));

  it.each(['ENOENT', 'EACCES', 'EPERM', 'EEXIST', '23505', '42601', 'ERR_INVALID_ARG_TYPE'])('calls %s fatal', (code) =>
    expect(classify(coded(code))).toBe('fatal'));

  it('takes a lost connection of the pg driver, and a write whose answer was lost, as something to try again', () => {
    const lost = new Error('Connection terminated unexpectedly');
    expect(classify(lost)).toBe('transient');
    expect(classify(new AmbiguousCommitError('save_step_checkpoint', lost))).toBe('transient');
    expect(classify(new Error('my own Connection terminated unexpectedly'))).toBe('fatal');
  });

  it('looks at causes and at the parts of aggregates', () => {
    expect(classify(new TypeError('fetch failed', { cause: coded('ECONNRESET') }))).toBe('transient');
    expect(classify(new AggregateError([coded('ENOENT'), coded('ECONNREFUSED')]))).toBe('transient');
    expect(classify(new Error('wrapped', { cause: new StepError('item', 'one item') }))).toBe('item');
  });

  it('lets the class that a step chose win over what caused it', () => {
    expect(classify(new StepError('fatal', 'no', { cause: coded('ECONNRESET') }))).toBe('fatal');
  });

  it('knows the StepError of another copy of the API by its form', () => {
    expect(classify(Object.assign(new Error('x'), { class: 'transient' }))).toBe('transient');
    expect(classify(Object.assign(new Error('x'), { class: 'banana' }))).toBe('fatal');
  });

  it('keeps instanceof for errors of another copy, and the usual rule for derived classes', () => {
    class Derived extends StepError {}
    const foreign = Object.defineProperty(new Error('x'), Symbol.for('cronwright.StepError'), { value: true });
    expect(foreign instanceof StepError).toBe(true);
    expect(new StepError('fatal', 'x') instanceof StepError).toBe(true);
    expect(new Derived('fatal', 'x') instanceof StepError).toBe(true);
    expect(new StepError('fatal', 'x') instanceof Derived).toBe(false);
    expect(new Error('x') instanceof StepError).toBe(false);
  });

  it('knows timeouts by name and HTTP errors by status', () => {
    expect(classify(new DOMException('late', 'TimeoutError'))).toBe('transient');
    expect([408, 429, 500, 503, 404].map((status) => classify(Object.assign(new Error(), { status })))).toEqual([
      'transient',
      'rate_limited',
      'transient',
      'transient',
      'fatal',
    ]);
  });

  it.each([undefined, null, 'text', 7, Symbol('x'), {}, []])('calls %s fatal', (thrown) => {
    expect(classify(thrown)).toBe('fatal');
    expect(toStoredError(thrown, new SecretMask([])).message).not.toBe('');
  });

  it('survives causes that go in a circle and getters that throw', () => {
    const one = new Error('one');
    one.cause = new Error('two', { cause: one });
    expect(toStoredError(one, new SecretMask([])).message).toBe('one: two');
    const hostile = {
      get message() {
        throw new Error('no');
      },
      get class() {
        throw new Error('no');
      },
    };
    expect(toStoredError(hostile, new SecretMask([]))).toMatchObject({ class: 'fatal' });
  });

  it('bounds messages and details', () => {
    const error = new StepError('fatal', 'm'.repeat(100_000), { details: 'd'.repeat(100_000) });
    expect(JSON.stringify(toStoredError(error, new SecretMask([]))).length).toBeLessThan(75_000);
  });
});

describe('an error that ends all items', () => {
  it('says so only where it is fatal', () => {
    const stored = (errorClass: 'fatal' | 'transient') =>
      toStoredError(new StepError(errorClass, 'no key', { scope: 'run' }), new SecretMask());
    expect(stored('fatal')).toMatchObject({ class: 'fatal', scope: 'run' });
    expect(stored('transient')).not.toHaveProperty('scope');
  });
});
