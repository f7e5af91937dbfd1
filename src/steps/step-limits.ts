// The bounds of one attempt, each with its unit and reason.

/** Bytes of JSON an output or a checkpoint may have: larger things are artifacts. */
export const maxOutputBytes = 1_048_576;

/** Bytes of log one attempt may write before the rest is dropped, so that a chatty program cannot fill the database. */
export const maxLogBytes = 4 * 1_048_576;

/** Characters of one log line; the rest of a longer line is dropped. */
export const maxLineCharacters = 16_384;

/** Characters of a stored error message: enough for people, small enough for lists. */
export const maxErrorCharacters = 4_000;

/** Bytes of JSON in the `details` of a stored error. */
export const maxDetailsBytes = 65_536;

/** Time a step has to end after its signal aborted, before the host goes on without it; longer than `killAfterMs`. */
export const abandonAfterMs = 5_000;

/** Time between TERM and KILL for a step's processes, so that they are gone within 2 s of a timeout. */
export const killAfterMs = 1_500;

/** Memory in bytes of a step's own processes; half of it is for Node's heap. A step that analyses code needs a few hundred MB. */
export const processMemoryBytes = 1_073_741_824;

/** Bytes that a step's own processes may print. */
export const processOutputBytes = 268_435_456;

/** Characters of one message of the step protocol: an output of 1 MB, escaped at worst sixfold, and its envelope. */
export const maxMessageCharacters = 8 * 1_048_576;

/** The longest delay that Node's timers take, about 24.8 days; a longer one would fire at once. */
export const maxTimerMs = 2_147_483_647;
