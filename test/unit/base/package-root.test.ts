// The package finds its own folder.
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';

describe('packageRoot', () => {
  it("is the absolute folder of Cronwright's package.json", () => {
    const manifest: unknown = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
    expect(isAbsolute(packageRoot)).toBe(true);
    expect(manifest).toMatchObject({ name: 'cronwright' });
  });
});
