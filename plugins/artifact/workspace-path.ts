// The input that names a file of the run's workspace.
import { isPathInside } from 'cronwright/plugin';
import { z } from 'zod';

export const workspacePath = z
  .string()
  .min(1)
  .max(1_000)
  .refine(isPathInside, 'expected a relative path with /, without .., that stays in the workspace');
