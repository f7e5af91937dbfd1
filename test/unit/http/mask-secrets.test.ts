import { describe, expect, it } from 'vitest';
import { maskSecrets } from '../../../src/http/mask-secrets.ts';

describe('settings that are shown', () => {
  it.each([
    [{ token: 'abc' }, { token: '***' }],
    [{ mail: { smtp_password: 'abc', host: 'mx' } }, { mail: { smtp_password: '***', host: 'mx' } }],
    [{ apiKey: 'abc' }, { apiKey: '***' }],
    [{ secrets: { a: 'abc' } }, { secrets: '***' }],
    [{ tokens: ['abc', 'def'] }, { tokens: '***' }],
    [{ url: 'postgres://me:abc@host/db' }, { url: 'postgres://me:***@host/db' }],
    [{ url: 'https://abc@host/' }, { url: 'https://***@host/' }],
    [
      { url: 'postgres://host/db?user=me&password=abc&sslmode=require' },
      { url: 'postgres://host/db?user=me&password=***&sslmode=require' },
    ],
    [{ url: 'https://host/path?auth=abc' }, { url: 'https://host/path?auth=***' }],
    [{ url: 'https://a b@c:x/' }, { url: '***' }],
    [{ list: ['redis://:abc@host'] }, { list: ['redis://:***@host'] }],
  ])('%j becomes %j', (settings, shown) => {
    expect(maskSecrets(settings)).toEqual(shown);
  });

  it('leaves everything else as it is', () => {
    const settings = {
      port: 8080,
      host: '127.0.0.1',
      queues: ['default'],
      limits: { live: 5 },
      on: true,
      none: null,
      url: 'https://host/path',
    };
    expect(maskSecrets(settings)).toEqual(settings);
  });
});
