// The one error of a sensor that is not there.
import { CronwrightError } from '../domain/errors.ts';

export function sensorNotFound(tenant: string, id: string): CronwrightError {
  return new CronwrightError('not_found', `there is no sensor "${id}" of tenant "${tenant}"`);
}
