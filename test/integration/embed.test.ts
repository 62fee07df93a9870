/** A server inside the program that uses it: what `import 'natsd'` promises. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { importEmbed } from '../support/embedded.ts';
import { RawClient } from '../support/raw-client.ts';
import { GUARD_MS } from '../support/waiting.ts';

const { startServer, ConfigurationError } = await importEmbed();
type Server = Awaited<ReturnType<typeof startServer>>;

const BUILT_EMBED = new URL('../../dist/embed.js', import.meta.url).href;
const QUIET = 'log_file: "/dev/null"\n';

describe('a server in the program', () => {
  const servers: Server[] = [];

  async function start(config = ''): Promise<Server> {
    const server = await startServer(QUIET + config);
    servers.push(server);
    return server;
  }

  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  test('serves a client at its url', async () => {
    const server = await start();
    expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
    const client = await connect({ servers: server.url });
    client.subscribe('question', { callback: (_error, message) => void message.respond('answer') });
    expect((await client.request('question', '', { timeout: GUARD_MS })).string()).toBe('answer');
    expect(client.info?.port).toBe(server.port);
    await client.close();
  });

  test('takes a configuration, and a port of its own choice', async () => {
    const first = await start('shards: 2\nauthorization { user: u, password: p }\nhttp: "127.0.0.1:-1"\n');
    expect(first.daemon.topology.shardCount).toBe(2);
    const client = await connect({ servers: first.url, user: 'u', pass: 'p' });
    await client.flush();
    await client.close();
    await expect(connect({ servers: first.url, maxReconnectAttempts: 0 })).rejects.toThrow(
      /Authorization Violation/i,
    );
    const answer = await fetch(`http://127.0.0.1:${first.daemon.monitor?.httpPort}/healthz`);
    expect(await answer.json()).toEqual({ status: 'ok' });
    const { port } = first;
    await first.stop();
    const second = await start(`port: ${port}\n`);
    expect(second.port).toBe(port);
  });

  test('is one of several, and they know nothing of each other', async () => {
    const [one, two] = [await start('shards: 2\n'), await start('shards: 2\n')];
    const [a, b] = await Promise.all([one, two].map(({ port }) => RawClient.connect({ port })));
    for (const client of [a, b]) {
      await client?.handshake();
      await client?.sync('SUB > 1\r\n');
    }
    await a?.sync('PUB x 1\r\na\r\n');
    await b?.sync('PUB x 1\r\nb\r\n');
    expect(a?.texts.filter((text) => text.startsWith('MSG'))).toEqual(['MSG x 1 1\r\na']);
    expect(b?.texts.filter((text) => text.startsWith('MSG'))).toEqual(['MSG x 1 1\r\nb']);
    await one.stop();
    await a?.untilClosed();
    expect(await b?.sync()).toBe(true);
    b?.destroy();
  });

  test('stops as often as asked, with connections open', async () => {
    const server = await start();
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => RawClient.connect({ port: server.port })),
    );
    for (const client of clients) await client.handshake();
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    for (const client of clients) {
      await client.untilClosed();
      expect(client.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
    }
    await expect(RawClient.connect({ port: server.port })).rejects.toThrow(/ECONNREFUSED/);
  });

  test('refuses a wrong configuration with every finding', async () => {
    const wrong = startServer(`${QUIET}nonsense: 1\nmax_payload: "big"\n`);
    await expect(wrong).rejects.toThrow(ConfigurationError);
    await expect(wrong).rejects.toThrow(/unknown field "nonsense"/);
    await expect(wrong).rejects.toThrow(/max_payload|int/);
  });

  test('refuses a port that is taken, and leaves no thread behind', async () => {
    const server = await start();
    await expect(startServer(`${QUIET}port: ${server.port}\n`)).rejects.toThrow(/address already in use/);
    const client = await RawClient.connect({ port: server.port });
    expect(await client.handshake()).toBe(true);
    client.destroy();
  });

  test.each([
    ['nothing is configured', '', /^$/],
    ['debug is on', 'debug: true\n', /\[DBG\]/],
  ])('the program ends by itself after stop, and what it wrote when %s', async (_name, config, written) => {
    const program = `
      const { startServer } = await import(${JSON.stringify(BUILT_EMBED)});
      const server = await startServer(${JSON.stringify(config)});
      const failed = await startServer('port: ' + server.port).catch((error) => error.name);
      const net = await import('node:net');
      const socket = net.connect(server.port, '127.0.0.1');
      await new Promise((resolve) => socket.once('data', resolve));
      await server.stop();
      socket.destroy();
      console.log('done ' + failed);
    `;
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', program],
      { timeout: GUARD_MS, killSignal: 'SIGKILL' },
    );
    expect(stdout).toBe('done StartError\n');
    expect(stderr).toMatch(written);
  });
});
