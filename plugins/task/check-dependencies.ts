// Whether subtasks can be done in some order: ids are unique, dependencies are there and lead round no circle.
import type { Subtask } from './subtask.ts';

export type Linked = Pick<Subtask, 'id' | 'dependencies'>;

/** What is wrong, one sentence each; empty where nothing is. */
export function dependencyProblems(subtasks: readonly Linked[]): string[] {
  const ids = new Set<string>();
  const problems: string[] = [];
  for (const { id } of subtasks) {
    if (ids.has(id)) problems.push(`two subtasks have the id "${id}"`);
    ids.add(id);
  }
  for (const { id, dependencies } of subtasks) {
    for (const needed of dependencies) {
      if (!ids.has(needed)) problems.push(`subtask "${id}" depends on "${needed}", which is not there`);
    }
  }
  const circle = findCircle(subtasks);
  if (circle) problems.push(`subtasks depend on each other in a circle: ${circle.join(' → ')}`);
  return problems;
}

/** Ids, each after all that it depends on, otherwise as given. Without circles, as `dependencyProblems` finds them. */
export function orderOf(subtasks: readonly Linked[]): string[] {
  const done = new Set<string>();
  const byId = new Map(subtasks.map((one) => [one.id, one]));
  const visit = (one: Linked) => {
    if (done.has(one.id)) return;
    for (const needed of one.dependencies) {
      const other = byId.get(needed);
      if (other) visit(other);
    }
    done.add(one.id);
  };
  for (const one of subtasks) visit(one);
  return [...done];
}

function findCircle(subtasks: readonly Linked[]): string[] | undefined {
  const byId = new Map(subtasks.map((one) => [one.id, one]));
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (id: string): string[] | undefined => {
    const at = path.indexOf(id);
    if (at >= 0) return [...path.slice(at), id];
    if (done.has(id)) return undefined;
    path.push(id);
    for (const needed of byId.get(id)?.dependencies ?? []) {
      const circle = visit(needed);
      if (circle) return circle;
    }
    path.pop();
    done.add(id);
    return undefined;
  };
  for (const { id } of subtasks) {
    const circle = visit(id);
    if (circle) return circle;
  }
  return undefined;
}
