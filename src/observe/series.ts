// Counters, gauges and histograms that only change numbers in memory, so that an event costs nanoseconds; metrics.ts renders them.

export interface Sample {
  /** What is added to the metric's name: nothing, `_bucket`, `_sum` or `_count`. */
  suffix: string;
  labels: Record<string, string>;
  value: number;
}

export interface Series {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  samples(): Sample[];
}

export interface SeriesOptions {
  name: string;
  help: string;
  labelNames: readonly string[];
}

export interface CounterSeries extends Series {
  /** Label values in the order of `labelNames`. */
  add(labels: readonly string[], by?: number): void;
}

export interface GaugeSeries extends Series {
  set(labels: readonly string[], value: number): void;
}

export interface HistogramSeries extends Series {
  /** `value` in the unit of the name (seconds). What is not finite is dropped, what is negative counts as 0. */
  observe(labels: readonly string[], value: number): void;
}

/** A counter. One without labels is there from the start, as 0. */
export function createCounterSeries(options: SeriesOptions): CounterSeries {
  const children = createLabelTree(() => ({ value: 0 }));
  if (options.labelNames.length === 0) children.leaf([]);
  return {
    name: options.name,
    help: options.help,
    type: 'counter',
    add(labels, by = 1) {
      children.leaf(labels).value += by;
    },
    samples: () => valueSamples(options.labelNames, children.leaves()),
  };
}

/** A gauge for events that come too often for prom-client's, which builds a string key at each change. */
export function createGaugeSeries(options: SeriesOptions): GaugeSeries {
  const children = createLabelTree(() => ({ value: 0 }));
  return {
    name: options.name,
    help: options.help,
    type: 'gauge',
    set(labels, value) {
      children.leaf(labels).value = value;
    },
    samples: () => valueSamples(options.labelNames, children.leaves()),
  };
}

/** A histogram; `buckets` are upper bounds, rising, without +Inf. */
export function createHistogramSeries(options: SeriesOptions & { buckets: readonly number[] }): HistogramSeries {
  const { buckets } = options;
  const children = createLabelTree(() => ({ counts: new Float64Array(buckets.length + 1), sum: 0 }));
  if (options.labelNames.length === 0) children.leaf([]);
  return {
    name: options.name,
    help: options.help,
    type: 'histogram',
    observe(labels, value) {
      if (!Number.isFinite(value)) return;
      const seconds = value < 0 ? 0 : value;
      const child = children.leaf(labels);
      const bucket = bucketOf(buckets, seconds);
      child.counts[bucket] = (child.counts[bucket] ?? 0) + 1;
      child.sum += seconds;
    },
    samples: () =>
      children
        .leaves()
        .flatMap(({ labels, leaf }) => histogramSamples(named(options.labelNames, labels), buckets, leaf)),
  };
}

function valueSamples(
  labelNames: readonly string[],
  leaves: readonly { labels: readonly string[]; leaf: { value: number } }[],
): Sample[] {
  return leaves.map(({ labels, leaf }) => ({ suffix: '', labels: named(labelNames, labels), value: leaf.value }));
}

function bucketOf(buckets: readonly number[], value: number): number {
  let index = 0;
  while (index < buckets.length && value > (buckets[index] ?? 0)) index += 1;
  return index;
}

function histogramSamples(
  labels: Record<string, string>,
  buckets: readonly number[],
  leaf: { counts: Float64Array; sum: number },
): Sample[] {
  let count = 0;
  const samples: Sample[] = [...leaf.counts].map((inBucket, index) => {
    count += inBucket;
    return { suffix: '_bucket', labels: { ...labels, le: String(buckets[index] ?? '+Inf') }, value: count };
  });
  samples.push({ suffix: '_sum', labels, value: leaf.sum }, { suffix: '_count', labels, value: count });
  return samples;
}

function named(names: readonly string[], values: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
}

interface LabelNode<Leaf> {
  readonly children: Map<string, LabelNode<Leaf>>;
  leaf?: { labels: readonly string[]; leaf: Leaf };
}

/** Finds the leaf of a list of label values by walking nested maps: no key is ever built. */
function createLabelTree<Leaf>(create: () => Leaf) {
  const root: LabelNode<Leaf> = { children: new Map() };
  const all: { labels: readonly string[]; leaf: Leaf }[] = [];
  return {
    leaf(labels: readonly string[]): Leaf {
      let node = root;
      for (const label of labels) {
        let next = node.children.get(label);
        if (!next) {
          next = { children: new Map() };
          node.children.set(label, next);
        }
        node = next;
      }
      if (!node.leaf) {
        node.leaf = { labels: [...labels], leaf: create() };
        all.push(node.leaf);
      }
      return node.leaf.leaf;
    },
    leaves: (): readonly { labels: readonly string[]; leaf: Leaf }[] => all,
  };
}
