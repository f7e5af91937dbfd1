// Where the histograms of metrics.ts are cut.

/** Upper bounds in seconds; chosen around the figures of DESIGN §14 and the default timeouts. */
export const buckets = {
  /** From a single quick step to the run timeout of an hour and twice that. */
  run: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1_800, 3_600, 7_200],
  /** From a free worker at once to a queue that is far behind. */
  wait: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800],
  /** Around the 60 s of `grace`, beyond which a fire time is missed. */
  lag: [0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300],
  /** To the step timeout of ten minutes and half an hour. */
  step: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800],
  query: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  http: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
};
