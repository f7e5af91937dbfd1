// URLs as they are shown: what may be a secret is gone, the rest can be read.
import { describe, expect, it } from 'vitest';
import { maskUrl } from '../../../src/base/mask-url.ts';

describe('a masked URL', () => {
  it.each([
    ['postgres://u:p@h/d', 'postgres://u:***@h/d'],
    ['postgres://u@h/d', 'postgres://u@h/d'],
    ['postgres://user:pw@h/db?sslmode=require', 'postgres://user:***@h/db?sslmode=require'],
    ['postgres://h/d?sslpassword=p&sslmode=require', 'postgres://h/d?sslpassword=***&sslmode=require'],
    [
      'postgresql://h/d?application_name=a&connect_timeout=5&options=x',
      'postgresql://h/d?application_name=a&connect_timeout=5&options=***',
    ],
    ['https://h/1?auth=abc', 'https://h/1?auth=***'],
    ['https://h/1?sig=a&code=b&sig=c==', 'https://h/1?sig=***&code=***&sig=***'],
    ['https://h/1?sslmode=abc', 'https://h/1?sslmode=***'],
    ['https://h/1?abc', 'https://h/1?***'],
    ['https://h/1#abc', 'https://h/1#***'],
    ['https://TOKEN@host/1', 'https://***@host/1'],
    ['https://TOKEN:x-oauth-basic@host/1', 'https://***:***@host/1'],
    ['redis://:abc@host', 'redis://:***@host'],
    ['https://h:8443/a/b', 'https://h:8443/a/b'],
    ['not a url', '***'],
    ['postgres://u:p/w@h/d', '***'],
  ])('of %s is %s', (url, masked) => {
    expect(maskUrl(url)).toBe(masked);
    expect(maskUrl(masked)).toBe(masked);
  });
});
