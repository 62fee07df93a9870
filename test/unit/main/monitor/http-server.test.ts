import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Monitor, MonitorStartError, startMonitor } from '../../../../src/main/monitor/http-server.ts';
import type { MonitorOptions, ServerOptions, TlsOptions } from '../../../../src/shared/base/options.ts';
import { makeCertificate } from '../../../support/make-certificate.ts';
import { RecordingLogger } from '../recording-logger.ts';
import { SampleSource, sampleOptions } from './sample-source.ts';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

let monitors: Monitor[] = [];
afterEach(async () => {
  await Promise.all(monitors.map((monitor) => monitor.close()));
  monitors = [];
});

interface Running {
  monitor: Monitor;
  source: SampleSource;
  logger: RecordingLogger;
  get(path: string, method?: string): Promise<Answer>;
}

async function start(
  monitorOptions: Partial<MonitorOptions> = {},
  tls: TlsOptions | null = null,
): Promise<Running> {
  const source = new SampleSource();
  const logger = new RecordingLogger();
  const options: ServerOptions = sampleOptions({
    tls,
    monitor: { host: '127.0.0.1', httpPort: -1, httpsPort: 0, basePath: '', ...monitorOptions },
  });
  source.serverOptions = options;
  const monitor = await startMonitor(source, options, logger);
  if (monitor === null) throw new Error('monitoring did not start');
  monitors.push(monitor);
  const request = monitor.scheme === 'https' ? httpsRequest : httpRequest;
  const port = monitor.httpPort || monitor.httpsPort;
  const get = (path: string, method = 'GET'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        { host: '127.0.0.1', port, path, method, rejectUnauthorized: false },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
          );
        },
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
  return { monitor, source, logger, get };
}

/** Sends raw bytes, answers with everything that comes back. */
function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.end(text);
  });
}

describe('paths', () => {
  test('known ones answer JSON for every origin, whatever the method', async () => {
    const { get, monitor, logger } = await start();
    for (const method of ['GET', 'POST', 'OPTIONS', 'HEAD']) {
      const answer = await get('/varz', method);
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json',
        'access-control-allow-origin': '*',
      });
      expect(answer.headers).not.toHaveProperty('keep-alive');
      expect(answer.body === '').toBe(method === 'HEAD');
    }
    expect(logger.lines).toEqual([`notice Starting http monitor on 127.0.0.1:${monitor.httpPort}`]);
  });

  test.each([
    '/nope',
    '/varz/',
    '/connz/x',
    '/routez',
    '/expvarz',
    '/accountz',
  ])('%s is not found', async (path) => {
    const { get } = await start();
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 404, body: '404 page not found\n' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
  });

  test.each([
    ['//varz', '/varz'],
    ['/./varz', '/varz'],
    ['/varz/../connz', '/connz'],
    ['//varz?a=b&c=d', '/varz?a=b&c=d'],
  ])('%s is redirected to %s', async (path, location) => {
    const { get } = await start();
    const answer = await get(path);
    expect(answer).toMatchObject({
      status: 301,
      body: `<a href="${location.replace('&', '&amp;')}">Moved Permanently</a>.\n\n`,
    });
    expect(answer.headers.location).toBe(location);
    expect(await get(path, 'POST')).toMatchObject({ status: 301, body: '' });
  });

  test('escapes in a path are decoded, broken ones refused', async () => {
    const { get } = await start();
    expect((await get('/%76arz')).status).toBe(200);
    expect(await get('/%zz')).toMatchObject({ status: 400, body: '400 Bad Request' });
  });

  test('a base path moves everything', async () => {
    const { get } = await start({ basePath: 'nats/' });
    const statuses = new Map<string, number>();
    for (const path of ['/nats', '/nats/', '/', '/nats/varz', '/varz', '/natsvarz', '//nats/varz']) {
      statuses.set(path, (await get(path)).status);
    }
    expect([...statuses.values()]).toEqual([200, 404, 404, 200, 404, 404, 301]);
    expect((await get('/nats')).body).toContain('href=./nats/varz>');
    expect(JSON.parse((await get('/nats/varz')).body).http_base_path).toBe('nats/');
  });

  test('the root page links the endpoints in order', async () => {
    const { get } = await start();
    const { headers, body } = await get('/');
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const links = [...body.matchAll(/href=\.\/(\S+?)>/g)].map((match) => match[1]);
    expect(links.join(' ')).toBe('varz jsz connz subsz healthz');
  });
});

describe('errors and counters', () => {
  test('a parameter that cannot be decoded is plain text', async () => {
    const { get } = await start();
    const answer = await get('/connz?auth=zz');
    expect(answer.status).toBe(400);
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    expect(answer.body).toBe(
      `Error decoding boolean for 'auth': strconv.ParseBool: parsing "zz": invalid syntax`,
    );
  });

  test('requests are counted by endpoint; connz only once decoded', async () => {
    const { get } = await start({ basePath: '/b' });
    for (const path of [
      '/b',
      '/b/connz?auth=zz',
      '/b/connz?sort=zz',
      '/b/subsz?subs=zz',
      '/b/subscriptionsz',
      '/b/healthz',
      '/b/nope',
    ]) {
      await get(path);
    }
    expect(JSON.parse((await get('/b/varz')).body).http_req_stats).toEqual({
      '/': 1,
      '/connz': 1,
      '/healthz': 1,
      '/subsz': 2,
      '/varz': 1,
    });
  });

  test('a failing source is an answer, not a crash', async () => {
    const { get, source, logger } = await start();
    source.connections = () => Promise.reject(new Error('shard 1 does not answer'));
    expect(await get('/connz')).toMatchObject({ status: 500, body: 'shard 1 does not answer' });
    expect(logger.lines.at(-1)).toBe('error monitoring: GET /connz: shard 1 does not answer');
  });

  test('what is no HTTP is refused', async () => {
    const { monitor } = await start();
    const answer = await sendRaw(monitor.httpPort, 'FOO\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\n400 Bad Request$/s);
  });

  test('a connection serves several requests', async () => {
    const { monitor } = await start();
    const one = 'GET /healthz HTTP/1.1\r\nHost: x\r\n';
    const answer = await sendRaw(monitor.httpPort, `${one}\r\n${one}Connection: close\r\n\r\n`);
    expect(answer.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });
});

describe('start', () => {
  test('without a port there is no monitoring', async () => {
    const options = sampleOptions({ monitor: { host: '', httpPort: 0, httpsPort: 0, basePath: '' } });
    expect(await startMonitor(new SampleSource(), options, new RecordingLogger())).toBeNull();
  });

  test.each<[Partial<MonitorOptions>, string]>([
    [{ httpPort: 8222, httpsPort: 8443 }, "can't specify both HTTP (8222) and HTTPs (8443) ports"],
    [{ httpPort: 0, httpsPort: 8443 }, 'TLS cert and key required for HTTPS'],
  ])('%j is refused', async (monitorOptions, message) => {
    await expect(start(monitorOptions)).rejects.toThrow(new MonitorStartError(message));
  });

  test('a port in use is refused with its address', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const { port } = blocker.address() as AddressInfo;
    await expect(start({ httpPort: port })).rejects.toThrow(
      `can't listen to the monitor port: listen tcp 127.0.0.1:${port}: bind: address already in use`,
    );
    await new Promise((resolve) => blocker.close(resolve));
  });
});

describe('https', () => {
  function makeTls(): TlsOptions {
    const { cert, key } = makeCertificate({ commonName: 'localhost', validDays: 30 });
    return {
      certs: [{ cert, key, certFile: 'cert.pem', keyFile: 'key.pem' }],
      ca: cert,
      caFile: 'cert.pem',
      verify: true,
      timeoutMs: 2000,
      ciphers: '',
      curves: '',
      minVersion: 'TLSv1.2',
      pinnedCerts: [],
      handshakeFirstMs: null,
      connectionRateLimit: 0,
    };
  }

  test('serves clients without certificate even when the server verifies its own', async () => {
    const { get, monitor, logger } = await start({ httpPort: 0, httpsPort: -1 }, makeTls());
    const answer = JSON.parse((await get('/varz')).body);
    expect(answer).toMatchObject({ tls_required: true, tls_verify: true, https_port: monitor.httpsPort });
    expect(answer.tls_cert_not_after).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(logger.lines[0]).toBe(`notice Starting https monitor on 127.0.0.1:${monitor.httpsPort}`);
  });

  test('plain HTTP on the https port is reported', async () => {
    const { monitor, logger } = await start({ httpPort: 0, httpsPort: -1 }, makeTls());
    const reported = logger.next();
    await sendRaw(monitor.httpsPort, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n').catch(() => '');
    expect(await reported).toMatch(
      /^error monitoring: TLS handshake error from 127\.0\.0\.1:\d+: client sent an HTTP request to an HTTPS server$/,
    );
  });
});
