// Time that a test spends computing: unlike the clock on the wall it does not grow when the machine is busy.

/** Milliseconds of processor time since this process began. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
