// Looks at the machine: Node.js, time zones, the programs that some steps call.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../../base/package-root.ts';
import type { Finding } from './finding.ts';

export function checkNode(version = process.versions.node): Finding {
  const { engines } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  return satisfies(version, engines.node)
    ? { check: 'node', status: 'ok', detail: `Node.js ${version}` }
    : {
        check: 'node',
        status: 'fail',
        detail: `Node.js ${version}, expected ${engines.node}`,
        hint: 'install a supported release from https://nodejs.org',
      };
}

/** Whether a version is in a range of the forms `^a.b.c`, `>=a`, joined by `||`. */
export function satisfies(version: string, range: string): boolean {
  return range.split('||').some((part) => {
    const [, sign, bound = ''] = /^\s*(\^|>=)\s*([\d.]+)\s*$/.exec(part) ?? [];
    const order = compareVersions(version, bound);
    return order >= 0 && (sign === '>=' || version.split('.')[0] === bound.split('.')[0]);
  });
}

function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Zones change several times a year; Node.js brings its own copy of their rules. */
export function checkTimeZones(nowMs: number, version = process.versions.tz): Finding {
  const year = Number(/^\d{4}/.exec(version ?? '')?.[0]);
  const age = new Date(nowMs).getUTCFullYear() - year;
  if (Number.isNaN(year)) return { check: 'time zones', status: 'warn', detail: 'the version of the rules is unknown' };
  const detail = `rules ${version}`;
  if (age <= 1) return { check: 'time zones', status: 'ok', detail };
  return {
    check: 'time zones',
    status: 'warn',
    detail: `${detail}, ${age} years old`,
    hint: 'a newer Node.js brings newer rules; without them schedules follow the old ones',
  };
}

export async function checkProgram(program: string, args: readonly string[], neededFor: string): Promise<Finding> {
  try {
    const { stdout } = await promisify(execFile)(program, [...args], { timeout: 10_000 });
    return { check: program, status: 'ok', detail: stdout.split('\n')[0]?.trim() ?? program };
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return {
      check: program,
      status: 'warn',
      detail: missing ? 'not found' : 'does not work here',
      hint: `only ${neededFor} need it`,
    };
  }
}
