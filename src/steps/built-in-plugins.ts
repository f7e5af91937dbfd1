// The plugins that come with Cronwright; the only file of src that knows the folder plugins/.
import type { BuiltInPlugins } from './load-plugins.ts';

/** Imported when they are loaded, so that a command that needs none of them does not pay for them. */
export const builtInPlugins: BuiltInPlugins = {};
