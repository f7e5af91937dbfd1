// The route of a run: the part of the queue's order it waits in. A node claims from the routes it can serve, and from no other.

/**
 * Written `queue`, `queue{label,label}`, then `#version` where the run was set aside for nodes that have its step types, then
 * `@home` where its files are in one data directory and that node goes first.
 */
export interface Route {
  queue: string;
  /** Sorted. */
  labels: readonly string[];
  version: string | undefined;
  home: string | undefined;
}

/** What a node has to offer. */
export interface RouteServer {
  /** null: all queues. */
  queues: readonly string[] | null;
  labels: readonly string[];
  /** The data directory it keeps workspaces in. */
  home: string;
  /** Versions that it lacks step types of. */
  lacks: { has(version: string): boolean };
}

const pattern = /^([^{#@]+)(?:\{([^}]*)\})?(?:#([^@]+))?(?:@(.+))?$/;

export function routeOf(queue: string, labels: readonly string[] = []): string {
  return labels.length === 0 ? queue : `${queue}{${[...new Set(labels)].sort().join(',')}}`;
}

export function parseRoute(route: string): Route {
  const [, queue = route, labels, version, home] = pattern.exec(route) ?? [];
  return { queue, labels: labels ? labels.split(',') : [], version, home };
}

/** The name of the queue, as people see it. */
export function queueOfRoute(route: string): string {
  return parseRoute(route).queue;
}

export function canServe(node: RouteServer, { queue, labels, version, home }: Route): boolean {
  if (node.queues !== null && !node.queues.includes(queue)) return false;
  if (version !== undefined && node.lacks.has(version)) return false;
  if (home !== undefined && home !== node.home) return false;
  return labels.every((label) => node.labels.includes(label));
}
