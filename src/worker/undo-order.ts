// In which order started steps are undone: newest first, and whoever needs a step before that step.

export interface Undoable {
  step: string;
  /** -1: the step itself. */
  item: number;
  startedAt: Date | null;
  /** null: it did not finish. */
  finishedAt: Date | null;
}

/**
 * By when they finished, those that did not finish first. Clocks of several nodes differ: where one says that a step ended after
 * one that needs it had, the needs decide. `order` is that of the pipeline's steps; it decides where times are equal.
 */
export function undoOrder<Unit extends Undoable>(
  units: readonly Unit[],
  order: readonly { id: string; needs: readonly string[] }[],
): Unit[] {
  const dependents = new Map<string, string[]>();
  for (const { id, needs } of order) {
    for (const need of needs) dependents.set(need, [...(dependents.get(need) ?? []), id]);
  }
  const oldest = new Map<string, number>();
  for (const unit of units) oldest.set(unit.step, Math.min(oldest.get(unit.step) ?? Infinity, endOf(unit)));
  const bounds = new Map<string, { time: number; height: number }>();
  /** No later than anything that needs the step, however far below. */
  const boundOf = (id: string): { time: number; height: number } => {
    const known = bounds.get(id);
    if (known) return known;
    const bound = { time: Infinity, height: 0 };
    bounds.set(id, bound);
    for (const dependent of dependents.get(id) ?? []) {
      const below = boundOf(dependent);
      bound.time = Math.min(bound.time, below.time, oldest.get(dependent) ?? Infinity);
      bound.height = Math.max(bound.height, below.height + 1);
    }
    return bound;
  };
  const place = new Map(order.map(({ id }, index) => [id, index]));
  const ranked = units.map((unit) => {
    const bound = boundOf(unit.step);
    return { unit, end: Math.min(endOf(unit), bound.time), height: bound.height, place: place.get(unit.step) ?? -1 };
  });
  ranked.sort(
    (a, b) =>
      compare(b.end, a.end) ||
      a.height - b.height ||
      compare(startOf(b.unit), startOf(a.unit)) ||
      b.place - a.place ||
      b.unit.item - a.unit.item,
  );
  return ranked.map(({ unit }) => unit);
}

/** Every step that one of `ids` needs, however far above. */
export function allNeeds(
  ids: readonly string[],
  order: readonly { id: string; needs: readonly string[] }[],
): Set<string> {
  const byId = new Map(order.map((step) => [step.id, step]));
  const found = new Set<string>();
  const open = [...ids];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const need of byId.get(id)?.needs ?? []) {
      if (found.has(need)) continue;
      found.add(need);
      open.push(need);
    }
  }
  return found;
}

function endOf({ finishedAt }: Undoable): number {
  return finishedAt?.getTime() ?? Infinity;
}

function startOf({ startedAt }: Undoable): number {
  return startedAt?.getTime() ?? 0;
}

/** Infinity equals itself. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
