import { describe, expect, it } from 'vitest';
import { statement } from '../../../src/db/database.ts';
import { createStatementNames, isRepeatable } from '../../../src/db/statement-names.ts';

describe('the names of statements', () => {
  it('stand for one text each', () => {
    const names = createStatementNames();
    names.check(statement('claim', 'select 1'));
    names.check(statement('claim', 'select 1'));
    expect(() => names.check(statement('claim', 'select 2'))).toThrow(/"claim".*"select 1".*"select 2"/);
  });

  it('may stand for many texts where nothing is prepared', () => {
    const names = createStatementNames();
    names.check(statement('migrate', 'create table a ()', { prepare: false }));
    names.check(statement('migrate', 'create table b ()', { prepare: false }));
  });

  it('fit what PostgreSQL keeps of a name', () => {
    const names = createStatementNames();
    names.check(statement('x'.repeat(63), 'select 1'));
    expect(() => names.check(statement('x'.repeat(64), 'select 1'))).toThrow(/64 bytes/);
    expect(() => names.check(statement('', 'select 1'))).toThrow(/0 bytes/);
  });
});

describe('whether a statement may be sent twice', () => {
  it.each([
    ['select 1', {}, true],
    ['\n  -- why\n  SELECT 1', {}, true],
    ['selection', {}, false],
    ['insert into a values (1)', {}, false],
    ['with gone as (delete from a returning 1) select * from gone', {}, false],
    ['update a set b = 1', { idempotent: true }, true],
    ['select nextval_like_thing()', { idempotent: false }, false],
  ])('%j with %j: %s', (text, options, repeatable) => {
    expect(isRepeatable(statement('x', text, options))).toBe(repeatable);
  });
});
