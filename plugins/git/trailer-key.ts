// What may be the name of a trailer of a commit message.
import { z } from 'zod';

export const trailerKey = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9-]{0,99}$/, 'must be letters, digits and hyphens, such as Documented-Commit');
