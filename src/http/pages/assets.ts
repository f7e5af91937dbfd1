// The files that pages need, read once: a style sheet, and the script that stands inside the pages.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../base/package-root.ts';

const folder = join(packageRoot, 'src', 'http', 'assets');
const style = readFileSync(join(folder, 'cronwright.css'), 'utf8');

export const assets = {
  style,
  /** Changes with the style sheet, so that browsers may keep it for long. */
  styleVersion: createHash('sha256').update(style).digest('hex').slice(0, 8),
  refreshScript: readFileSync(join(folder, 'refresh.js'), 'utf8'),
};
