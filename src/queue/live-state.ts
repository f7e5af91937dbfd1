// The state of a live run as everyone outside sees it: one that only its rollback is left of is rolling back, whoever works on it.

/** Of a row of `cronwright.queue`, by its alias; null where there is no row. */
export function liveState(alias: string): string {
  return `case when ${alias}.rolls_back is true and ${alias}.state in ('pending', 'running', 'waiting')
      then 'rolling_back' else ${alias}.state end`;
}
