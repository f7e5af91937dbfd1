// Keeps a metric label bounded: the first values seen are kept, all later ones are `_other`.

/** What stands for every value beyond the bound. */
export const otherLabel = '_other';

/** DESIGN §12: at most 200 pipelines; the same for schedules, step types, tenants, statements and routes. */
const maxLabelValues = 200;

export interface BoundedLabel {
  /** The label for `value`; values are told apart within `group` (a pipeline within its tenant), and bounded over all groups. */
  of(value: string, group?: string): string;
}

export function createBoundedLabel(limit: number = maxLabelValues): BoundedLabel {
  const groups = new Map<string, Set<string>>();
  let size = 0;
  return {
    of(value, group = '') {
      let known = groups.get(group);
      if (known?.has(value)) return value;
      if (size >= limit) return otherLabel;
      if (!known) {
        known = new Set();
        groups.set(group, known);
      }
      known.add(value);
      size += 1;
      return value;
    },
  };
}
