// What every scenario is given and gives.
import type { Cluster } from './cluster.ts';
import type { Figure } from './figure.ts';

export interface Bench {
  cluster: Cluster;
  /** Fewer runs and shorter rounds: to see that nothing is broken, not to quote. */
  quick: boolean;
  /** On the embedded database instead. */
  pglite: boolean;
  /** The one-million-row parts too. */
  million: boolean;
  rounds: number;
}

export interface Scenario {
  name: string;
  about: string;
  /** Whether it can run on PGlite. */
  onPglite?: boolean;
  run(bench: Bench): Promise<Figure[]>;
}
