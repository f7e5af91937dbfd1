// Changes of configuration files are told once they have come to rest; other files are not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Service } from '../../../src/base/service.ts';
import { watchConfig } from '../../../src/config/watch-config.ts';

let configDir: string;
let bursts: (readonly string[])[];
let service: Service;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-watch-'));
  mkdirSync(join(configDir, 'pipelines'));
  bursts = [];
  service = watchConfig({ configDir, onChange: (files) => void bursts.push(files) });
});
afterEach(async () => {
  await service.stop();
  rmSync(configDir, { recursive: true });
});

const path = (name: string) => join(configDir, name);
const told = (count: number) =>
  vi.waitFor(() => expect(bursts.length).toBeGreaterThanOrEqual(count), { timeout: 10_000 });

describe('watching the configuration', () => {
  it('tells of files that are written together in one call', async () => {
    await service.start();
    writeFileSync(path('cronwright.yaml'), 'port: 1\n');
    writeFileSync(path('pipelines/a.yaml'), 'id: a\n');
    writeFileSync(path('pipelines/notes.txt'), 'not looked at\n');
    await told(1);
    expect(bursts).toEqual([[path('cronwright.yaml'), path('pipelines/a.yaml')]]);
  });

  it('tells of a file that goes away, and nothing of what was there before', async () => {
    writeFileSync(path('pipelines/a.yaml'), 'id: a\n');
    writeFileSync(path('pipelines/b.yaml'), 'id: b\n');
    await service.start();
    rmSync(path('pipelines/a.yaml'));
    await told(1);
    expect(bursts).toEqual([[path('pipelines/a.yaml')]]);
  });

  it('goes on after a listener failed', async () => {
    const errors: unknown[] = [];
    let calls = 0;
    service = watchConfig({
      configDir,
      onChange: (files) => {
        calls++;
        bursts.push(files);
        if (calls === 1) throw new Error('cannot apply');
      },
      onError: (error) => errors.push(error),
    });
    await service.start();
    writeFileSync(path('pipelines/a.yaml'), 'id: a\n');
    await told(1);
    writeFileSync(path('pipelines/a.yaml'), 'id: b\n');
    await told(2);
    expect(errors).toEqual([new Error('cannot apply')]);
  });

  it('can be stopped before it was started, and twice', async () => {
    await service.stop();
    await service.start();
    await service.stop();
    await service.stop();
    writeFileSync(path('pipelines/a.yaml'), 'id: a\n');
    expect(bursts).toEqual([]);
  });
});
