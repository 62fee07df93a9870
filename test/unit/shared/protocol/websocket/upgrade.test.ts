import { describe, expect, test } from 'vitest';
import {
  type HttpRequest,
  headEnd,
  parseRequest,
} from '../../../../../src/shared/protocol/websocket/http-request.ts';
import {
  allowedOriginProblem,
  compileOriginRules,
  originProblem,
  parseOrigin,
} from '../../../../../src/shared/protocol/websocket/origin.ts';
import {
  acceptResponse,
  checkUpgrade,
  malformedResponse,
  refusalResponse,
  type Upgrade,
  type UpgradeRules,
} from '../../../../../src/shared/protocol/websocket/upgrade.ts';
import { upgradeRequest } from '../../../../support/websocket-client.ts';

const RULES: UpgradeRules = {
  origins: compileOriginRules(false, []),
  isTls: false,
  compression: true,
  hasMqtt: true,
};

function parsed(text: string): HttpRequest | null {
  const bytes = Buffer.from(text, 'latin1');
  return parseRequest(bytes, bytes.length);
}

function accepted(headers: Record<string, string | null>, path = '/', rules = RULES): Upgrade {
  const result = checkUpgrade(parsed(upgradeRequest({ port: 1, path, headers }))!, rules);
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

describe('head of a request', () => {
  test.each([
    ['GET / HTTP/1.1\r\nA: b\r\n\r\nrest', 24],
    ['GET / HTTP/1.1\nA: b\n\nrest', 21],
    ['GET / HTTP/1.1\r\nA: b\r\n', -1],
    ['GET / HTTP/1.1\r\nA: b\r\n\r', -1],
    ['', -1],
  ])('ends: %j', (text, end) => {
    expect(headEnd(Buffer.from(text), text.length)).toBe(end);
  });

  test('method, path and headers', () => {
    const request = parsed('GET /a/b?c=d HTTP/1.0\r\nX-A:  one \r\nx-a: two\r\nEmpty:\r\n\r\n')!;
    expect(request).toMatchObject({ method: 'GET', path: '/a/b', minorVersion: 0 });
    expect(request.headers.all('x-a')).toEqual(['one', 'two']);
    expect(request.headers.first('empty')).toBe('');
    expect(request.headers.has('empty')).toBe(true);
    expect(request.headers.first('__proto__')).toBe('');
  });

  test.each([
    'GET / HTTP/2.0\r\n\r\n',
    'GET /\r\n\r\n',
    'GET  / HTTP/1.1\r\n\r\n',
    'G@T / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\n: a\r\n\r\n',
    'GET / HTTP/1.1\r\nA\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\x00\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n',
    'GET / HTTP/1.1\r\nA: b\rc\r\n\r\n',
  ])('is none: %j', (text) => {
    expect(parsed(text)).toBeNull();
  });
});

describe('what a request asks for', () => {
  test.each([
    ['/', 'nats'],
    ['/x/mqtt', 'mqtt'],
    ['/leafnode', 'leafnode'],
    ['/mqtt/', 'nats'],
  ])('path %s is %s', (path, protocol) => {
    expect(accepted({}, path).protocol).toBe(protocol);
  });

  test.each([
    ['permessage-deflate', true],
    ['x-other, Permessage-Deflate; client_max_window_bits', true],
    ['x-permessage-deflate', false],
  ])('extensions %s', (value, compression) => {
    expect(accepted({ 'Sec-WebSocket-Extensions': value }).compression).toBe(compression);
    const without = { ...RULES, compression: false };
    expect(accepted({ 'Sec-WebSocket-Extensions': value }, '/', without).compression).toBe(false);
  });

  test.each([
    ['true', true],
    ['TRUE', false],
    ['1', false],
  ])('no masking: %s', (value, noMasking) => {
    expect(accepted({ 'Nats-No-Masking': value }).noMasking).toBe(noMasking);
  });

  test.each([
    ['Mozilla/5.0 Chrome', true, false],
    ['Mozilla/5.0 Version/17 Safari/605', true, true],
    ['x Mozilla/5.0 Version/17 Safari/605', false, false],
  ])('agent %s', (agent, isBrowser, isSafari) => {
    expect(accepted({ 'User-Agent': agent })).toMatchObject({ isBrowser, isSafari });
  });

  test.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::1', '::1'],
    ['10.1.2.3, 1.1.1.1', ''],
    ['10.1.2.300', ''],
    ['x', ''],
  ])('forwarded for %s', (value, forwardedFor) => {
    expect(accepted({ 'X-Forwarded-For': value }).forwardedFor).toBe(forwardedFor);
  });

  test('cookies', () => {
    const { cookies } = accepted({ Cookie: 'a=1; b="x=y"; a=2; __proto__=z; c; =d' });
    expect([...cookies]).toEqual([
      ['a', '1'],
      ['b', 'x=y'],
      ['__proto__', 'z'],
    ]);
  });
});

describe('responses', () => {
  test('the key of RFC 6455 §1.3', () => {
    const response = acceptResponse({ ...accepted({}), protocol: 'mqtt' }, [['A', 'b']]);
    expect(response).toContain('\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
    expect(response.endsWith('\r\nSec-Websocket-Protocol: mqtt\r\nA: b\r\n\r\n')).toBe(true);
  });

  test('refusals', () => {
    expect(refusalResponse(403, 'DATE')).toBe(
      'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nDate: DATE\r\nContent-Length: 10\r\n\r\nForbidden\n',
    );
    expect(malformedResponse(400, 'missing required Host header')).toMatch(
      /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*\r\n\r\n400 Bad Request: missing required Host header$/,
    );
  });
});

describe('origins', () => {
  test.each([
    ['http://A.com', { scheme: 'http', host: 'a.com', port: 80 }],
    ['HTTPS://a.com/path?x', { scheme: 'https', host: 'a.com', port: 443 }],
    ['http://u:p@a.com:81', { scheme: 'http', host: 'a.com', port: 81 }],
    ['http://[::1]:82', { scheme: 'http', host: '[::1]', port: 82 }],
    ['null', null],
    ['a.com', null],
    ['http://a.com:99999', null],
    ['http://a b', null],
    ['http://a\\b', null],
  ])('%s', (text, origin) => {
    expect(parseOrigin(text)).toEqual(origin);
  });

  test('both rules have to be met', () => {
    const rules = compileOriginRules(true, ['http://a.com']);
    expect(originProblem(rules, 'http://a.com', 'a.com', false)).toBe('');
    expect(originProblem(rules, 'http://a.com', 'b.com', false)).toMatch(/not same origin/);
    expect(originProblem(rules, 'http://b.com', 'b.com', false)).toMatch(/not in the allowed list/);
    expect(originProblem(rules, 'http://a.com', 'a.com', true)).toMatch(/not same origin/);
    expect(originProblem(rules, '', 'b.com', false)).toBe('');
  });

  test.each([
    ['b.com', 'unable to parse allowed origin: parse "b.com": invalid URI for request'],
    [
      'ftp://b.com',
      'unable to parse allowed origin "ftp://b.com": allowed origins must be absolute URLs with http or https scheme',
    ],
    [
      '/b',
      'unable to parse allowed origin "/b": allowed origins must be absolute URLs with http or https scheme',
    ],
    ['http:///b', 'unable to parse allowed origin "http:///b": host is required'],
    ['https://b.com', ''],
  ])('allowed_origins: %s', (text, problem) => {
    expect(allowedOriginProblem(text)).toBe(problem);
  });
});
