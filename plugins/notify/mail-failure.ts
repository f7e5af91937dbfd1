// Gives what a mail server or the way to it says the class that retries go by.
import { StepError } from 'cronwright/plugin';

/** Codes of nodemailer that are about the way to the server, and may be better next time. */
const transientCodes: ReadonlySet<unknown> = new Set(['ECONNECTION', 'ETIMEDOUT', 'ESOCKET', 'EDNS', 'EPROTOCOL']);
/** Certificates do not get better by waiting minutes; other words of TLS may be a connection that was cut. */
const certificate = /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT)/;

interface MailError {
  message?: unknown;
  code?: unknown;
  originalCode?: unknown;
  responseCode?: unknown;
  response?: unknown;
}

/** RFC 5321 §4.2.1: 4yz may be tried again, 5yz may not. */
export function mailFailure(thrown: unknown): StepError {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as MailError;
  const status = typeof error.responseCode === 'number' ? error.responseCode : undefined;
  const message = `the mail was not taken: ${String(error.message ?? thrown)}`;
  const options = {
    name: error.code === 'EAUTH' ? 'MailLoginRefused' : 'MailError',
    ...(status === undefined ? {} : { details: { status } }),
  };
  if (status !== undefined) return new StepError(status >= 500 ? 'fatal' : 'transient', message, options);
  const isCertificate = certificate.test(String(error.originalCode ?? ''));
  return new StepError(transientCodes.has(error.code) && !isCertificate ? 'transient' : 'fatal', message, options);
}
