// Whether plugins in Python can be tested here; where not, it says so loudly.
import { execFileSync } from 'node:child_process';

export function hasPython(): boolean {
  try {
    execFileSync('python3', ['--version']);
    return true;
  } catch {
    console.warn('SKIPPED: there is no python3 here, so plugins in Python are not tested');
    return false;
  }
}
