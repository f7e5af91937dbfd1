// text.render: what templates make, and what they are kept from.
import { describe, expect, it } from 'vitest';
import { errorOf, outputOf, runStep } from '../support/step-context.ts';

const render = (template: string, values: Record<string, unknown> = {}, rest: Record<string, unknown> = {}) =>
  runStep('text.render', { template, values, ...rest });
const textOf = async (...args: Parameters<typeof render>) => outputOf<{ text: string }>(await render(...args)).text;

describe('text.render', () => {
  it('makes a text from loops, conditions and filters', async () => {
    const template =
      '{% for row in rows %}{{ row.id }}={{ row.n | round: 1 }}{% unless forloop.last %}, {% endunless %}{% endfor %}';
    const rows = [
      { id: 'a', n: 1.25 },
      { id: 'b', n: 2 },
    ];
    expect(await textOf(template, { rows })).toBe('a=1.3, b=2');
  });

  it('gives the same text for the same input, and counts its bytes', async () => {
    const ran = await render('é{{ x }}', { x: 1 });
    expect(outputOf(ran)).toEqual({ text: 'é1', bytes: 3, artifact: null });
    expect(outputOf(await render('é{{ x }}', { x: 1 }))).toEqual(outputOf(ran));
  });

  it.each([
    ['html', `<a href="?a=1&b='2'">`, '&lt;a href=&quot;?a=1&amp;b=&#39;2&#39;&quot;&gt;'],
    [
      'latex',
      '\\input{/etc/passwd} 50% of $x_1$ & #2 ^~',
      '\\textbackslash{}input\\{/etc/passwd\\} 50\\% of \\$x\\_1\\$ \\& \\#2 \\textasciicircum{}\\textasciitilde{}',
    ],
    ['json', 'say "hi"\n\\', 'say \\"hi\\"\\n\\\\'],
    ['none', '<b>', '<b>'],
  ])('makes values harmless for %s', async (mode, value, expected) => {
    expect(await textOf('{{ value }}', { value }, { escape: mode })).toBe(expected);
  });

  it('puts a value in as it is where the template says raw', async () => {
    expect(await textOf('{{ value | raw }}', { value: '<b>' }, { escape: 'html' })).toBe('<b>');
  });

  it('takes a value for a value, whatever it looks like', async () => {
    expect(await textOf('{{ value }}', { value: '{% for i in (1..3) %}x{% endfor %}{{ secret }}' })).toBe(
      '{% for i in (1..3) %}x{% endfor %}{{ secret }}',
    );
  });

  it('says where a name is unknown', async () => {
    const error = errorOf(await render('fine\n{{ nobody }}', {}));
    expect(error).toMatchObject({ name: 'TemplateError', class: 'fatal' });
    expect(error.message).toMatch(/undefined variable: nobody.*line:2, col:4/);
  });

  it('reaches no prototype and no constructor', async () => {
    for (const path of ['x.constructor', 'x.__proto__', 'x.toString']) {
      expect(errorOf(await render(`{{ ${path} }}`, { x: {} })).name).toBe('TemplateError');
    }
  });

  it.each([
    "{% include '/etc/passwd' %}",
    "{% render 'x' %}",
    "{% layout 'x' %}",
  ])('refuses %s before anything runs, with its line', async (tag) => {
    const error = errorOf(await render(`fine\n{% if false %}${tag}{% endif %}`));
    expect(error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
    expect(error.message).toMatch(/templates cannot include others: \{% \w+ %\}, line:2/);
  });

  it('ends a template that would fill the memory or take for ever', async () => {
    const loop = '{% for a in (1..100000) %}{% for b in (1..100000) %}xxxxxxxxxx{% endfor %}{% endfor %}';
    expect(errorOf(await render(loop)).message).toMatch(/limit exceeded/);
  });

  it('keeps a text beyond an output as an artifact, and says so without one', async () => {
    // Few steps and much text: how long it takes is bounded, too.
    const template = `{% for a in (1..1100) %}${'x'.repeat(1_000)}{% endfor %}`;
    expect(errorOf(await render(template))).toMatchObject({
      name: 'TextTooLarge',
      message: expect.stringContaining('1100000 bytes'),
    });
    const ran = await render(template, {}, { artifact: { name: 'long.txt', media_type: 'text/plain' } });
    expect(outputOf(ran)).toMatchObject({
      text: null,
      bytes: 1_100_000,
      artifact: { name: 'long.txt', size: 1_100_000 },
    });
    expect(ran.recorded.artifacts[0]?.content.byteLength).toBe(1_100_000);
  });

  it('refuses a template that is wrong before anything runs', async () => {
    const error = errorOf(await render('{% if x %}'));
    expect(error.class).toBe('fatal');
    expect(error.message).toMatch(/tag .* not closed.*line:1/);
  });
});
