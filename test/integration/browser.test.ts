/** A real browser talks to the server: connects, subscribes, requests, and comes back after a restart. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BrowserPage, CHROMIUM } from '../support/browser.ts';
import { Daemon } from '../support/daemon.ts';
import { GUARD_MS } from '../support/waiting.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';

/** What the page's script defines, as far as the test uses it. */
interface PageGlobals {
  nats: typeof import('@nats-io/nats-core');
  connection: import('@nats-io/nats-core').NatsConnection;
  heard: string[];
  statuses: string[];
}

async function reconnected(connection: NatsConnection): Promise<void> {
  for await (const { type } of connection.status()) if (type === 'reconnect') return;
}

describe.skipIf(CHROMIUM === null)('Chromium (skipped where it is not installed)', () => {
  let browser: BrowserPage;
  beforeAll(async () => {
    browser = await BrowserPage.open();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
  });

  /** Connects from the page and keeps what it hears. */
  async function connectPage(url: string): Promise<void> {
    await browser.page.evaluate(async (server) => {
      const globals = globalThis as unknown as PageGlobals;
      const options = { servers: server, reconnectTimeWait: 50, maxReconnectAttempts: -1 };
      globals.connection = await globals.nats.wsconnect(options);
      globals.heard = [];
      globals.statuses = [];
      globals.connection.subscribe('to.page', {
        callback: (_error, message) => {
          globals.heard.push(message.string());
          message.respond(`page heard ${message.string()}`);
        },
      });
      void (async () => {
        for await (const { type } of globals.connection.status()) globals.statuses.push(type);
      })();
      await globals.connection.flush();
    }, url);
  }

  test.each(TRANSPORTS)('over %s', async (transport) => {
    const block = `allowed_origins: ["${browser.origin}"]`;
    let daemon = await startWebsocket(transport, block, 'max_payload: 2MB');
    const [port, clientPort] = [websocketPort(daemon), daemon.port];
    try {
      await connectPage(`ws://127.0.0.1:${port}`);
      const service = await connect({
        servers: `127.0.0.1:${clientPort}`,
        reconnectTimeWait: 50,
        maxReconnectAttempts: -1,
      });
      service.subscribe('to.service', { callback: (_error, message) => void message.respond(message.data) });
      await service.flush();
      expect((await service.request('to.page', 'hello', { timeout: GUARD_MS })).string()).toBe(
        'page heard hello',
      );

      const sizes = await browser.page.evaluate(async () => {
        const { connection } = globalThis as unknown as PageGlobals;
        const echoed: number[] = [];
        for (const size of [0, 100, 5000, 1_000_000]) {
          const payload = new Uint8Array(size).map((_value, index) => index % 251);
          const { data } = await connection.request('to.service', payload, { timeout: 30_000 });
          if (data.every((value, index) => value === index % 251)) echoed.push(data.length);
        }
        return echoed;
      });
      expect(sizes).toEqual([0, 100, 5000, 1_000_000]);

      const serviceIsBack = reconnected(service);
      await daemon.stop('SIGTERM', true);
      const config = `websocket { listen: "127.0.0.1:${port}", no_tls: true, transport: ${transport}, ${block} }`;
      daemon = await Daemon.start({ config, port: clientPort, shards: 2 });
      await browser.page.waitForFunction(() =>
        (globalThis as unknown as PageGlobals).statuses.includes('reconnect'),
      );
      await browser.page.evaluate(() => (globalThis as unknown as PageGlobals).connection.flush());
      await serviceIsBack;
      await service.flush();
      expect((await service.request('to.page', 'again', { timeout: GUARD_MS })).string()).toBe(
        'page heard again',
      );
      await service.close();
      await browser.page.evaluate(() => (globalThis as unknown as PageGlobals).connection.close());
    } finally {
      await daemon.stop();
    }
  });

  test('a page of another origin is refused', async () => {
    const daemon = await startWebsocket('ws', 'same_origin: true');
    try {
      const from = daemon.log.length;
      const refused = browser.page.evaluate(
        async (url) => {
          const { nats } = globalThis as unknown as PageGlobals;
          await nats.wsconnect({ servers: url, reconnect: false, timeout: 3000 });
        },
        `ws://127.0.0.1:${websocketPort(daemon)}`,
      );
      await expect(refused).rejects.toThrow();
      await daemon.untilLogged(/origin not allowed: not same origin/, from);
    } finally {
      await daemon.stop();
    }
  });
});
