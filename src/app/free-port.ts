// Finds out before anything else starts whether the daemon will be able to listen.
import { createServer } from 'node:net';
import { cannotListen } from '../http/create-http-server.ts';

/** Throws `unavailable` where the address cannot be listened on now. */
export async function requireFreePort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (error) => reject(cannotListen(error, host, port)));
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}
