// Routes as text and back, and which node serves which.
import { describe, expect, it } from 'vitest';
import { canServe, parseRoute, queueOfRoute, type RouteServer, routeOf } from '../../../src/domain/route.ts';

const home = '019abc00-0000-7000-8000-000000000001';

function server(overrides: Partial<RouteServer> = {}): RouteServer {
  return { queues: null, labels: [], home, lacks: new Set(), ...overrides };
}

describe('the route of a run', () => {
  it('is its queue where it asks for no label', () => {
    expect([routeOf('default'), routeOf('default', [])]).toEqual(['default', 'default']);
  });

  it('names each label once, in one order whatever the file says', () => {
    expect(routeOf('builds', ['linux', 'gpu', 'linux'])).toBe('builds{gpu,linux}');
  });

  it.each([
    ['default', { queue: 'default', labels: [], version: undefined, home: undefined }],
    ['a-b_1{gpu,linux}', { queue: 'a-b_1', labels: ['gpu', 'linux'], version: undefined, home: undefined }],
    [`default@${home}`, { queue: 'default', labels: [], version: undefined, home }],
    ['default#0123abcd', { queue: 'default', labels: [], version: '0123abcd', home: undefined }],
    [`q{gpu}#0123abcd@${home}`, { queue: 'q', labels: ['gpu'], version: '0123abcd', home }],
  ])('%s is read as it was written', (route, parsed) => {
    expect(parseRoute(route)).toEqual(parsed);
    expect(queueOfRoute(route)).toBe(parsed.queue);
  });
});

describe('a node', () => {
  it.each([
    ['takes runs without labels whatever its own', server({ labels: ['gpu'] }), 'default', true],
    ['takes runs whose labels it has', server({ labels: ['linux', 'gpu', 'big'] }), 'default{gpu,linux}', true],
    ['leaves runs of which it lacks one label', server({ labels: ['gpu'] }), 'default{gpu,linux}', false],
    ['leaves queues that it does not serve', server({ queues: ['reports'] }), 'default', false],
    ['leaves queues that it does not serve, label or not', server({ queues: ['a'], labels: ['gpu'] }), 'b{gpu}', false],
    ['takes what is pinned to its files', server(), `default@${home}`, true],
    ['leaves what is pinned to others', server(), 'default@019abc00-0000-7000-8000-000000000002', false],
    ['takes what others set aside', server(), 'default#v1', true],
    ['leaves versions whose step types it lacks', server({ lacks: new Set(['v1']) }), 'default#v1', false],
  ])('%s', (_name, node, route, expected) => {
    expect(canServe(node, parseRoute(route))).toBe(expected);
  });
});
