import { describe, expect, it } from 'vitest';
import { CronError } from '../../../src/domain/cron/cron-error.ts';
import { CronwrightError, type ErrorCode } from '../../../src/domain/errors.ts';
import { isFault, problemResponse, toProblem } from '../../../src/http/problem.ts';

describe('problem details', () => {
  it.each<[ErrorCode, number]>([
    ['invalid_input', 400],
    ['unauthorized', 401],
    ['forbidden', 403],
    ['not_found', 404],
    ['conflict', 409],
    ['too_large', 413],
    ['unsupported_media_type', 415],
    ['limit_reached', 429],
    ['internal', 500],
    ['invalid_config', 500],
    ['unavailable', 503],
  ])('%s is %i', (code, status) => {
    expect(toProblem(new CronwrightError(code, 'why'), '/x')).toMatchObject({ status, code, instance: '/x' });
  });

  it('tells the message and the facts of errors made for callers', () => {
    const error = new CronwrightError('conflict', 'it has ended', { details: { state: 'failed' } });
    expect(toProblem(error, '/x')).toMatchObject({ detail: 'it has ended', state: 'failed' });
  });

  it('lets no fact take the place of a field of its own', () => {
    const error = new CronwrightError('conflict', 'it has ended', { details: { status: 200, type: 'x', code: 'y' } });
    expect(toProblem(error, '/x')).toMatchObject({
      status: 409,
      code: 'conflict',
      type: 'urn:cronwright:problem:conflict',
    });
  });

  it('tells nothing of faults', () => {
    for (const error of [
      new Error('password=abc'),
      new CronwrightError('internal', 'password=abc'),
      'password=abc',
      undefined,
    ]) {
      expect(JSON.stringify(toProblem(error, '/x'))).not.toContain('abc');
      expect(isFault(error)).toBe(true);
    }
  });

  it('names the column of a cron expression, from 1', () => {
    const problem = toProblem(new CronError('99 * * * *', 0, 'above 59'), '/x');
    expect(problem).toMatchObject({ status: 400, problems: [{ path: 'expression', column: 1, message: 'above 59' }] });
  });

  it('says what the database cannot store as wrong input', () => {
    const error = Object.assign(new Error('unsupported Unicode escape sequence'), { code: '22P05' });
    expect(toProblem(error, '/x')).toMatchObject({ status: 400, detail: expect.stringContaining('U+0000') });
  });

  it('comes with its own media type', () => {
    const response = problemResponse(toProblem(new CronwrightError('limit_reached', 'full'), '/x'));
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('retry-after')).toBe('5');
  });
});
