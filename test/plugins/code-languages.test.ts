// Checks what code.analyze reads of Python, Go, Rust and Java, and what docs.generate makes of it: on small real-looking trees.
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StepContext } from 'cronwright/plugin';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { analyze as analyzeStep } from '../../plugins/code/analyze.ts';
import type { Module, ModuleSymbol } from '../../plugins/code/module.ts';
import { readTree } from '../../plugins/code/read-tree.ts';
import { packageRoot } from '../../src/base/package-root.ts';
import { createScratch, runStep, type Scratch, type TestContext, writeFiles } from './git-scratch.ts';

type Language = 'python' | 'go' | 'rust' | 'java';
const fixtures = join(packageRoot, 'test/fixtures/code');
const java = 'java/src/main/java/com/example/shop';

const languageOf: Readonly<Record<string, Language>> = { py: 'python', go: 'go', rs: 'rust', java: 'java' };
const read = (text: string, path: string): Promise<Module> =>
  readTree({ path, language: languageOf[path.split('.').at(-1) ?? ''] ?? 'python' }, text);
const fixture = async (path: string): Promise<Module> => read(await readFile(join(fixtures, path), 'utf8'), path);

function find(module: Module, name: string): ModuleSymbol {
  const symbol = module.symbols.find((each) => each.name === name && each.kind !== 're-export');
  if (symbol === undefined) throw new Error(`no ${name} in ${module.symbols.map((each) => each.name).join(', ')}`);
  return symbol;
}
const exported = (module: Module): string[] =>
  module.symbols.filter((symbol) => symbol.exported).map((symbol) => `${symbol.kind} ${symbol.name}`);
const members = (module: Module, name: string): string[] =>
  find(module, name).members.map(({ signature }) => signature);

describe('of Python', () => {
  it('what `__all__` names is public, nested classes under the name of the one around', async () => {
    const module = await fixture('python/shop/orders.py');
    expect(exported(module)).toEqual([
      're-export Iterator',
      'constant LIMIT',
      'type Row',
      'class Order',
      'class Order.Line',
      'class Order.Line.Tax',
      'class Größe',
      'function find',
      'function load',
    ]);
    expect(module.symbols.filter((each) => !each.exported).map((each) => each.name)).toEqual([
      'T',
      'COLORS',
      'not_listed',
    ]);
    expect(module).toMatchObject({ language: 'python', lines: 142, syntaxErrors: 0 });
  });

  it('a package passes on what it imports from its own modules', async () => {
    const module = await fixture('python/shop/__init__.py');
    expect(exported(module)).toEqual(['re-export Order', 're-export load_order', 're-export rate']);
    expect(module.symbols[1]?.signature).toBe('from .orders import load as load_order');
  });

  it('docstrings lose their indentation, and their examples become code', async () => {
    const module = await fixture('python/shop/orders.py');
    expect(module.comment).toBe(
      "Orders: what people bought, and when.\n\nPaths such as C:\\new are kept as they are.\n\n```python\n>>> Order(1).total\nDecimal('0')\n```",
    );
    expect(find(module, 'Order')).toMatchObject({
      comment: 'An order of one customer.',
      signature: '@dataclass(frozen=True)\nclass Order(Generic[T])',
      tags: [
        { tag: 'param', name: 'number', text: 'The number on the\ninvoice.' },
        { tag: 'param', name: 'note', text: 'Anything the customer said.' },
        { tag: 'example', text: '```python\n>>> Order(7).number\n7\n```' },
      ],
    });
    expect(find(module, 'LIMIT')).toMatchObject({
      comment: 'How many lines an order may have.',
      signature: 'LIMIT: Final[int] = 500',
    });
  });

  it('indented paragraphs of docstrings are code, lists and what belongs to them are not', async () => {
    const doc =
      'Adds.\n\n    Use it so::\n\n        add(1)\n\n        add(2)\n\n    - one\n\n      of many\n\n    Or:\n\n        x\n    ';
    const module = await read(`def f():\n    """${doc}"""\n`, 'a.py');
    expect(find(module, 'f').comment).toBe(
      'Adds.\n\nUse it so:\n\n```python\nadd(1)\n\nadd(2)\n```\n\n- one\n\n  of many\n\nOr:\n\n```\nx\n```',
    );
  });

  it('members are what users touch: attributes, properties once, described special methods', async () => {
    const order = find(await fixture('python/shop/orders.py'), 'Order');
    expect(order.members.map(({ name, kind, comment }) => [kind, name, comment])).toEqual([
      ['field', 'number', 'Unique for ever.'],
      ['field', 'note', ''],
      ['property', 'total', 'What it costs, see `shop.money.Decimal`.'],
      ['method', 'fetch', 'Asks the server for an order.'],
      ['method', '__iter__', 'Its lines, in order.'],
    ]);
    expect(order.members[3]).toMatchObject({
      signature:
        '@staticmethod\nasync def fetch(number: int, /, *args: str, timeout: float = 1.5, **options) -> "Order"',
      tags: [
        { tag: 'param', name: 'number', text: 'which one' },
        { tag: 'param', name: 'timeout', text: 'seconds to\nwait' },
        { tag: 'returns', text: 'the order' },
        { tag: 'throws', name: 'TimeoutError', text: 'where the server is slow' },
      ],
    });
  });

  it('overloads are one function, without the one of the body; long decorators are short', async () => {
    const module = await fixture('python/shop/orders.py');
    expect(find(module, 'find')).toMatchObject({
      signature: '@overload\ndef find(key: int) -> Order\n@overload\ndef find(key: str) -> list[Order]',
      comment: 'Finds orders by number or by name.',
      tags: [
        { tag: 'param', name: 'key', text: 'What to look for.' },
        { tag: 'returns', text: '`list of Order`: All that fit.' },
        { tag: 'section', name: 'Notes', text: 'Slow for names.' },
      ],
    });
    expect(find(module, 'load').signature).toBe('@retry(…)\ndef load(\n    path,\n    *,\n    strict=True,\n)');
  });

  it('without `__all__`, and where it has to be computed, a name without an underscore is public', async () => {
    expect(exported(await read('def a(): ...\ndef _b(): ...\n_c = 1\nD, e = 1, 2\n', 'a.py'))).toEqual([
      'function a',
      'constant D',
      'variable e',
    ]);
    expect(
      exported(await read('from x import y\n__all__ = ["_b"] + y.__all__\ndef _b(): ...\ndef a(): ...\n', 'a.py')),
    ).toEqual(['function _b', 'function a']);
  });

  it('what stands in `if` and `try` is there, once', async () => {
    const text =
      'if X:\n    def f(a): ...\nelif Y:\n    def f(b): ...\nelse:\n    def g(): ...\ntry:\n    import z\nexcept E:\n    z = None\n';
    const module = await read(text, 'a.py');
    expect(module.symbols.map(({ signature }) => signature)).toEqual(['def f(a)', 'def g()']);
  });
});

describe('of Go', () => {
  it('what begins with a capital letter is public, methods belong to their receiver', async () => {
    const module = await fixture('go/shop/order.go');
    expect(exported(module)).toEqual([
      'constant Limit',
      'type Kind',
      'constant Retail',
      'constant Wholesale',
      'constant Export',
      'variable ErrFull',
      'struct Order',
      'interface Store',
      'type Names',
      'function New',
      'method Cart.Close',
    ]);
    expect(members(module, 'Order')).toEqual([
      'func (o *Order[T, K]) Add(line T) (err error)',
      'func (Order[T, K]) Len() int',
    ]);
    expect(members(module, 'Kind')).toEqual(['func (k Kind) String() string']);
    expect(find(module, 'Cart.Close').comment).toBe('Close ends the work of a part\nthat another file declares.');
    expect(module.package).toBe('shop');
  });

  it('the package comment is the one right above `package`, with its code and its links', async () => {
    expect((await fixture('go/shop/order.go')).comment).toBe(
      'Package shop keeps orders.\n\nUsage:\n\nMake an `Order` first:\n\n```go\no := shop.New("Ada")\no.Add(1)\n```\n\n' +
        'Things to know:\n  - orders are small\n  - and cheap',
    );
    expect((await read('// Copyright\n\npackage a\n', 'a.go')).comment).toBe('');
  });

  it('signatures show what other packages can reach, comments say what is meant', async () => {
    const module = await fixture('go/shop/order.go');
    expect(find(module, 'Order')).toMatchObject({
      signature:
        'type Order[T any, K comparable] struct {\n\t// ID is unique.\n\tID string `json:"id"`\n\tGröße int // how large\n\t*Base\n' +
        '\t// contains fields that are not exported\n}',
      comment: 'Order is what somebody bought.',
      tags: [{ tag: 'deprecated', text: 'Use a Cart.' }],
    });
    expect(find(module, 'New')).toMatchObject({
      signature: 'func New[T any](name string, opts ...func(*T)) (*Order[T, string], error)',
      comment: 'New makes an order\nfor a customer.',
    });
    expect(find(module, 'Store').signature).toBe(
      'type Store interface {\n\tGet(id string) (*Order[int, string], error)\n\t~int | ~string\n}',
    );
    expect(['Retail', 'Wholesale', 'ErrFull'].map((name) => find(module, name).signature)).toEqual([
      'const Retail Kind = iota',
      'const Wholesale Kind',
      'var ErrFull = errors.New("full")',
    ]);
    expect(find(module, 'Export').comment).toBe('sold to shops');
  });
});

describe('of Rust', () => {
  it('what is `pub` and can be reached is public, in inline modules too, and not in tests', async () => {
    const module = await fixture('rust/src/lib.rs');
    expect(exported(module)).toEqual([
      'module color',
      're-export color',
      're-export Color',
      're-export Colors',
      're-export *',
      'constant LIMIT',
      'struct Point',
      'struct Marker',
      'struct Pair',
      'enum End',
      'trait Shape',
      'function drift',
      'function größe',
      'type Result2',
      'macro sum',
      'module round',
      'struct round::Circle',
      'method Elsewhere::far',
    ]);
    expect(module.symbols.map(({ name }) => name)).not.toContain('tests');
    expect(module.symbols.find(({ name }) => name === 'Colors')?.signature).toBe('pub use color::Palette as Colors');
  });

  it('documentation is read as rustdoc means it', async () => {
    const module = await fixture('rust/src/lib.rs');
    // The line that rustdoc hides is not there.
    expect(module.comment).toBe(
      'Shapes and what can be said of them.\n\nExample:\n\n```rust\nlet p = Point::new(1.0, 2.0);\n```',
    );
    expect(find(module, 'Point')).toMatchObject({
      comment: 'A point, see `Shape` and {@link https://doc.example.org/book|the book}.',
      tags: [{ tag: 'section', name: 'Panics', text: 'Never, unlike `Line::new`.' }],
    });
    expect(find(module, 'End')).toMatchObject({
      comment: 'How a thing ends.',
      tags: [{ tag: 'deprecated', text: 'use `Outcome`' }],
      signature: '#[non_exhaustive]\npub enum End {\n    /// Well.\n    Good,\n    Bad { code: u8 },\n}',
    });
  });

  it('signatures keep generics, bounds and public fields', async () => {
    const module = await fixture('rust/src/lib.rs');
    expect(find(module, 'Point').signature).toBe(
      '#[derive(Debug, Clone)]\npub struct Point<T: Copy = f64, const N: usize = 2>\nwhere\n    T: fmt::Display,\n{\n' +
        '    /// To the right.\n    pub x: T,\n    // private fields\n}',
    );
    expect(find(module, 'drift').signature).toBe(
      "pub async unsafe fn drift<'a, T>(points: &'a mut [T], by: impl Fn(T) -> T) -> Result<(), Box<dyn std::error::Error>>\n" +
        'where\n    T: Copy,',
    );
    expect(find(module, 'sum').signature).toBe(
      'macro_rules! sum {\n    () => { … };\n    ($first:expr $(, $rest:expr)*) => { … };\n}',
    );
    expect(find(module, 'Point').members.map(({ kind, signature }) => [kind, signature])).toEqual([
      ['constant', 'pub const ORIGIN: u8 = 0'],
      ['method', '#[must_use]\npub fn new(x: T, y: T) -> Self'],
      ['implementation', 'impl<T: Copy + fmt::Display> fmt::Display for Point<T>'],
    ]);
    expect(members(module, 'Shape')).toEqual([
      'const SIDES: u8',
      'type Unit',
      'fn area(&self) -> f64',
      'fn is_empty(&self) -> bool { … }',
    ]);
  });
});

describe('of Java', () => {
  it('public types are public, nested ones as far as the one around is', async () => {
    const module = await fixture(`${java}/Order.java`);
    expect(exported(module)).toEqual(['class Order', 'class Order.Line', 'enum Order.Line.Unit']);
    expect(module.symbols.filter((each) => !each.exported).map(({ name }) => name)).toEqual(['Order.Secret', 'Helper']);
    expect(module.package).toBe('com.example.shop');
    expect(exported(await fixture(`${java}/Priced.java`))).toEqual(['interface Priced', 'record Priced.Range']);
    expect(await fixture(`${java}/package-info.java`)).toMatchObject({
      comment: 'Everything about orders.',
      symbols: [],
    });
  });

  it('public and protected members with overloads, annotations of tools left out', async () => {
    const module = await fixture(`${java}/Order.java`);
    expect(members(module, 'Order')).toEqual([
      'public static final int MAX = 500',
      'public static final int MIN = 1',
      'protected String größe = "M"',
      'public Order(String name) throws IllegalArgumentException',
      'public Order<T> add(T line)',
      '@SafeVarargs\npublic final <R extends T> Order<T> add(List<? super R> lines, R... more) throws java.io.IOException',
      'public abstract double total()',
    ]);
    expect(find(module, 'Order').signature).toBe(
      '@Entity(name = "orders")\npublic abstract sealed class Order<T extends Comparable<T>> extends Base<T> implements Priced, Cloneable permits Sale',
    );
    expect(members(await fixture(`${java}/Priced.java`), 'Priced')).toEqual([
      'int CENTS = 100',
      'long price()',
      'default boolean isFree()',
    ]);
  });

  it('Javadoc is read without its HTML', async () => {
    const order = find(await fixture(`${java}/Order.java`), 'Order');
    expect(order).toMatchObject({
      comment:
        'An order of `one` customer, see the store and `total()`.\n\nCosts < 5 and has lines:\n\n- first\n- second\n\n' +
        '```java\nOrder<Line> order = new Order<>("a");\n```',
      tags: [{ tag: 'param', name: '<T>', text: 'kind of line' }],
    });
    expect(order.members[4]?.tags).toEqual([
      { tag: 'param', name: 'line', text: 'what to add' },
      { tag: 'returns', name: '', text: 'this' },
      { tag: 'throws', name: 'IllegalStateException', text: 'when it is\nclosed' },
    ]);
    expect(order.members[6]?.tags).toEqual([{ tag: 'deprecated', name: '', text: 'use `sum`' }]);
  });

  it('enums, records and annotations', async () => {
    const color = find(await fixture(`${java}/Color.java`), 'Color');
    expect(color.members.map(({ kind, signature, comment }) => [kind, signature, comment])).toEqual([
      ['constant', 'RED(1, "r")', 'Like fire.'],
      ['constant', 'GREEN(2, "g")', ''],
      ['field', 'public static final Color FIRST = RED', ''],
      ['method', 'public String label()', 'For people.'],
    ]);
    const point = await fixture(`${java}/Point.java`);
    expect(find(point, 'Point').signature).toBe(
      'public record Point<N extends Number>(N x, @Positive N y) implements java.io.Serializable',
    );
    expect(members(point, 'Positive')).toEqual(['String message() default "must be positive"']);
  });
});

describe('a file that is not as it should be', () => {
  const broken: [string, string[]][] = [
    ['python/shop/broken.py', ['class Ok']],
    ['go/shop/broken.go', ['func Good()']],
    ['rust/src/broken.rs', ['pub fn good()', 'pub struct Late']],
    [`${java}/Broken.java`, ['public class Broken']],
  ];
  it.each(broken)('with broken syntax is read as far as possible: %s', async (path, signatures) => {
    const module = await fixture(path);
    expect(module.syntaxErrors).toBeGreaterThan(0);
    expect(module.symbols.map(({ signature }) => signature)).toEqual(expect.arrayContaining(signatures));
  });

  it.each(['a.py', 'a.go', 'a.rs', 'a.java'])('that is empty has nothing: %s', async (path) => {
    expect(await read('', path)).toMatchObject({ lines: 0, comment: '', symbols: [], syntaxErrors: 0 });
  });

  it.each(['a.py', 'a.go', 'a.rs', 'a.java'])('that is no code at all ends well: %s', async (path) => {
    const nonsense = '}{)(\u0000"\'`/*# @ \\ \u{1F600} '.repeat(2_000);
    expect((await read(nonsense, path)).syntaxErrors).toBeGreaterThan(0);
    await read(`${'('.repeat(20_000)}`, path);
  });

  it('with line ends of another system says the same', async () => {
    for (const path of ['python/shop/orders.py', 'go/shop/order.go', 'rust/src/lib.rs', `${java}/Order.java`]) {
      const text = await readFile(join(fixtures, path), 'utf8');
      expect(await read(text.replaceAll('\n', '\r\n'), path), path).toEqual(await read(text, path));
    }
  });

  it('equal texts are equal modules, also after another language and broken text', async () => {
    const first = await fixture('rust/src/lib.rs');
    await fixture('go/shop/broken.go');
    await fixture('python/shop/broken.py');
    expect(await fixture('rust/src/lib.rs')).toEqual(first);
  });
});

describe('code.analyze of several languages', () => {
  let scratch: Scratch;
  beforeEach(async () => {
    scratch = await createScratch();
  });
  afterEach(() => scratch.remove());

  interface Analysis {
    modules: { path: string; slug: string; language: string }[];
    files: number;
    languages: Record<string, number>;
    errors: number;
    skipped: Record<string, number>;
    note: string | null;
  }
  async function checkout(isolation: 'inline' | 'process' = 'inline'): Promise<TestContext> {
    const context = scratch.context({ isolation });
    await mkdir(context.workspace, { recursive: true });
    await cp(fixtures, join(context.workspace, 'repo'), { recursive: true });
    return context;
  }
  const analyze = (context: TestContext, input: object = {}): Promise<Analysis> =>
    runStep<Analysis>('code.analyze', context, input);

  it('reads a mixed checkout in a process of its own, and counts what it leaves out', async () => {
    const context = await checkout('process');
    await writeFiles(join(context.workspace, 'repo'), {
      'web/app.ts': 'export const app = 1;',
      'readme.txt': '',
      'target/out.rs': '',
      'venv/lib/x.py': '',
      'python/__pycache__/y.py': '',
      'go/vendor/z.go': '',
      'go/api.pb.go': '',
    });
    const analysis = await analyze(context);
    expect(analysis).toMatchObject({
      files: 18,
      languages: { typescript: 1, python: 4, go: 3, rust: 3, java: 7 },
      skipped: { generated: 2, unknown: 1 },
      note: 'left out: 2 generated files',
    });
    expect(analysis.errors).toBeGreaterThan(3);
    expect(context.logged.join('\n')).toContain('"count":4');
  });

  it('reads only the languages that are asked for', async () => {
    const analysis = await analyze(await checkout(), { languages: ['go', 'rust'] });
    expect(analysis.languages).toEqual({ go: 3, rust: 3 });
  });

  it('reads other encodings than UTF-8', async () => {
    const context = await checkout();
    const text = '# -*- coding: latin-1 -*-\n"""Größe."""\ndef größe(): ...\n';
    const bytes: Record<string, Buffer> = {
      'latin.py': Buffer.from(text, 'latin1'),
      'mark.py': Buffer.from(`\uFEFF${text}`, 'utf8'),
      'wide.py': Buffer.from(`\uFEFF${text}`, 'utf16le'),
    };
    for (const [name, content] of Object.entries(bytes)) {
      await writeFiles(join(context.workspace, 'repo/enc'), { [name]: content as unknown as string });
    }
    const { modules } = await analyze(context, { include: ['enc/**'] });
    expect(modules).toHaveLength(3);
    for (const { path, slug } of modules) {
      const stored = await readFile(join(context.workspace, '.cronwright/analysis', `${slug}.json`), 'utf8');
      expect(JSON.parse(stored), path).toMatchObject({
        comment: 'Größe.',
        symbols: [{ name: 'größe' }],
        syntaxErrors: 0,
      });
    }
  });

  it('ends between two files when it is told to', async () => {
    const context = await checkout();
    const many = Array.from({ length: 100 }, (_, at) => [`many/${at}.py`, 'x = 1\n'] as const);
    await writeFiles(join(context.workspace, 'repo'), Object.fromEntries(many));
    const abort = new AbortController();
    const told: number[] = [];
    const progress = ({ done }: { done: number }): void => {
      told.push(done);
      abort.abort(new Error('enough'));
    };
    const ctx = { workspace: context.workspace, signal: abort.signal, progress } as unknown as StepContext;
    const options = {
      path: 'repo',
      include: [],
      exclude: [],
      languages: ['python'],
      max_files: 500,
      max_file_bytes: 5_000,
    };
    await expect(analyzeStep.run(ctx, options)).rejects.toThrow('enough');
    expect(told).toEqual([32]);
  });

  it('leads to pages in the words of each language', async () => {
    const context = await checkout();
    const { modules, note } = await analyze(context, { exclude: ['*roken.*'] });
    for (const module of modules) await runStep('docs.generate', context, { module });
    await runStep('docs.index', context, { modules, note, title: 'Shop' });
    const page = (path: string): Promise<string> => readFile(join(context.workspace, 'docs', path), 'utf8');
    const python = await page('modules/python/shop/orders.py.md');
    expect(python).toContain('· Python · 9 public symbols\n\n## Contents\n');
    expect(python).toContain(
      '### `Order`\n\n```python\n@dataclass(frozen=True)\nclass Order(Generic[T]):\n    # Unique for ever.\n    number: int\n    note: str = ""\n```\n',
    );
    expect(python).toContain('**Methods**\n\n#### `Order.fetch`\n\n```python\n@staticmethod\n');
    expect(python).toContain('**Raises** `ValueError`: If it is broken.');
    const go = await page('modules/go/shop/order.go.md');
    expect(go).toContain('· Go · package `shop` · 11 exported symbols\n');
    expect(go).toContain(
      '## Structs\n\n### `Order`\n\n> Deprecated. Use a Cart.\n\n```go\ntype Order[T any, K comparable] struct {\n',
    );
    const rust = await page('modules/rust/src/lib.rs.md');
    expect(rust).toContain('**Panics**\n\nNever, unlike `Line::new`.\n\n**Constants**\n\n```rust\n/// Nowhere.\n');
    expect(rust).toContain('#### `Point::new`\n');
    expect(rust).toContain('**Implements**\n\n```rust\nimpl<T: Copy + fmt::Display> fmt::Display for Point<T>\n```\n');
    expect(await page(`modules/${java}/Color.java.md`)).toContain(
      '```java\npublic enum Color implements Named {\n    /** Like fire. */\n    RED(1, "r"),\n    GREEN(2, "g");\n    public static final Color FIRST = RED;\n}\n```\n',
    );
    const index = await page('README.md');
    expect(index).toContain('13 modules (Go 2, Java 6, Python 3, Rust 2) · ');
    // A file that says nothing of itself is told by the type that bears its name.
    expect(index).toContain(
      '| [`Priced.java`](modules/java/src/main/java/com/example/shop/Priced.java.md) | Has a price. | 2 |',
    );
  });
});
