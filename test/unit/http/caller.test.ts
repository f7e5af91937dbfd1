// Who asks, as headers say: a trace that can be read is kept, one that cannot is no reason to refuse work.
import { describe, expect, it } from 'vitest';
import { readCaller } from '../../../src/http/caller.ts';

const ids = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331';

describe('the trace of a caller', () => {
  it.each([
    [`00-${ids}-01`, `00-${ids}-01`],
    [`00-${ids}-00`, `00-${ids}-00`],
    [`cc-${ids}-01-what-comes`, `00-${ids}-01`],
    [`00-${ids}-01-more`, undefined],
    [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, undefined],
    ['nonsense', undefined],
    ['', undefined],
  ])('%s is kept as %s', (header, kept) => {
    expect(readCaller({ traceparent: header }).traceparent).toBe(kept);
  });

  it('is absent where it is not said', () => {
    expect(readCaller({})).toMatchObject({ tenant: 'default', traceparent: undefined });
  });
});
