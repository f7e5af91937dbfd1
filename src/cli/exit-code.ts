// What the shell is told: three exit codes, the same for every command.
import type { ErrorCode } from '../domain/errors.ts';

export const exitCodes = {
  /** It was done. */
  done: 0,
  /** It failed: the run, the daemon, the database, or what was asked for does not exist. */
  failed: 1,
  /** The command line or a configuration file is wrong; trying again changes nothing. */
  wrongUsage: 2,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The exit code of an error: 2 where its cause is what somebody wrote, else 1. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  return code === 'invalid_input' || code === 'invalid_config' ? exitCodes.wrongUsage : exitCodes.failed;
}

/** Stands under every help text. */
export const exitCodesHelp =
  'Exit codes: 0 done · 1 failed · 2 wrong usage or configuration. NO_COLOR=1 turns colours off.';
