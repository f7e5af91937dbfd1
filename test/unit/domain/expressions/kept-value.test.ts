// Kept values: what is stored of an input whose secrets are not known yet, and what becomes of it later.
import { describe, expect, it } from 'vitest';
import { restoreKept, secretsOfKept } from '../../../../src/domain/expressions/kept-value.ts';
import { compileTemplate } from '../../../../src/domain/expressions/template.ts';
import { createTestScope } from '../../../support/expression-scope.ts';

const hostile = '$' + '{{ secrets.OTHER }}';
const scope = { ...createTestScope({ inputs: { text: hostile, list: [1, 2] } }), secrets: {} };

function keep(value: unknown) {
  const kept = compileTemplate(value).keep(scope);
  if (!kept.ok) throw new Error(kept.error.message);
  // As the database gives it back.
  return JSON.parse(JSON.stringify(kept.value)) as typeof kept.value;
}

describe('a kept value', () => {
  it('has everything evaluated but its secrets, which come in later', () => {
    const kept = keep({
      key: '${{ secrets.KEY }}',
      deep: [{ header: 'Bearer ${{ secrets.TOKEN }} of ${{ inputs.list[1] }}' }],
      list: '${{ inputs.list }}',
      n: '${{ size(inputs.list) }}',
      plain: true,
    });
    expect(JSON.stringify(kept)).not.toContain('value-of');
    expect(secretsOfKept(kept).sort()).toEqual(['KEY', 'TOKEN']);
    expect(restoreKept(kept, { KEY: 'value-of-key', TOKEN: 'value-of-token' })).toEqual({
      key: 'value-of-key',
      deep: [{ header: 'Bearer value-of-token of 2' }],
      list: [1, 2],
      n: 2,
      plain: true,
    });
  });

  it('never takes what came from outside for an expression', () => {
    const kept = keep({
      a: '${{ inputs.text }}',
      b: '${{ inputs.text }} ${{ secrets.KEY }}',
      c: hostile.replace('OTHER', 'KEY'),
    });
    expect(secretsOfKept(kept)).toEqual(['KEY']);
    expect(restoreKept(kept, { KEY: 'k', OTHER: 'stolen' })).toEqual({ a: hostile, b: `${hostile} k`, c: 'k' });
  });

  it('may be one text as a whole, or nothing to evaluate', () => {
    expect(restoreKept(keep('${{ secrets.KEY }}'), { KEY: 'k' })).toBe('k');
    expect(keep({ a: 1 })).toEqual({ value: { a: 1 }, secrets: [] });
  });

  it('fails where an expression does more with a secret than to name it, or cannot be evaluated', () => {
    const message = (value: unknown) => {
      const kept = compileTemplate(value).keep(scope);
      return kept.ok ? undefined : kept.error.message;
    };
    expect(message({ a: ["${{ secrets.KEY + 'x' }}"] })).toMatch(/at a\[0\]: .* may name a secret/);
    expect(message({ a: "${{ secrets.KEY == 'x' }}" })).toContain('may name a secret');
    expect(message({ a: '${{ steps.none.output }}' })).toContain('does not exist');
  });
});
