/** The official client where the server says no, goes away or wants TLS. */
import { connect, type NatsConnection, type Status } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import { Daemon, type DaemonOptions } from '../support/daemon.ts';
import { shardCounts } from '../support/server-command.ts';

const USERS = `
max_payload: 1024
authorization {
  users: [
    { user: admin, password: pw }
    { user: narrow, password: pw, permissions: { publish: "ok.>", subscribe: ["ok.>", "_INBOX.>"] } }
  ]
}
`;

describe.each(shardCounts())('official client and errors, %i shard(s)', (shards) => {
  const open: NatsConnection[] = [];
  const daemons: Daemon[] = [];

  async function start(options: DaemonOptions): Promise<Daemon> {
    const daemon = await Daemon.start({ shards, ...options });
    daemons.push(daemon);
    return daemon;
  }

  async function client(daemon: Daemon, options: Record<string, unknown> = {}): Promise<NatsConnection> {
    const connection = await connect({ servers: `127.0.0.1:${daemon.port}`, reconnect: false, ...options });
    open.push(connection);
    return connection;
  }

  async function untilStatus(connection: NatsConnection, type: Status['type']): Promise<Status> {
    for await (const status of connection.status()) if (status.type === type) return status;
    throw new Error(`closed without status ${type}`);
  }

  afterEach(async () => {
    await Promise.all(open.splice(0).map((connection) => connection.close()));
    await Promise.all(daemons.splice(0).map((daemon) => daemon.stop()));
  });

  test('wrong credentials are refused, right ones accepted', async () => {
    const daemon = await start({ config: USERS });
    await expect(client(daemon, { user: 'admin', pass: 'no' })).rejects.toThrow(/authorization violation/i);
    await expect(client(daemon)).rejects.toThrow(/authorization violation/i);
    const connection = await client(daemon, { user: 'admin', pass: 'pw' });
    await connection.flush();
  });

  test('a forbidden publish surfaces as a status, the connection stays', async () => {
    const daemon = await start({ config: USERS });
    const connection = await client(daemon, { user: 'narrow', pass: 'pw' });
    const status = untilStatus(connection, 'error');
    connection.publish('secret.x', 'm');
    const { error } = (await status) as Status & { error: Error };
    expect(error.message).toContain('Permissions Violation for Publish to "secret.x"');
    await connection.flush();
    expect(connection.isClosed()).toBe(false);
  });

  test('a forbidden subscription ends with an error, others stay', async () => {
    const daemon = await start({ config: USERS });
    const connection = await client(daemon, { user: 'narrow', pass: 'pw' });
    const failure = new Promise<Error | null>((resolve) => {
      connection.subscribe('secret.>', { callback: (error) => resolve(error) });
    });
    const allowed = new Promise<string>((resolve) => {
      connection.subscribe('ok.>', { callback: (_error, message) => resolve(message.string()) });
    });
    expect((await failure)?.message).toContain('Permissions Violation for Subscription to "secret.>"');
    connection.publish('ok.x', 'still here');
    expect(await allowed).toBe('still here');
  });

  test('the client knows the payload limit of the server', async () => {
    const daemon = await start({ config: USERS });
    const connection = await client(daemon, { user: 'admin', pass: 'pw' });
    expect(() => connection.publish('ok.x', new Uint8Array(1025))).toThrow(/max_payload/);
    connection.publish('ok.x', new Uint8Array(1024));
    await connection.flush();
  });

  test('token', async () => {
    const daemon = await start({ config: 'authorization { token: "secret token" }\n' });
    await (await client(daemon, { token: 'secret token' })).flush();
    await expect(client(daemon, { token: 'other' })).rejects.toThrow(/authorization violation/i);
  });

  test('TLS, with and without a client certificate', async () => {
    const set = certificates();
    const block = `cert_file: "${set.server.certFile}", key_file: "${set.server.keyFile}", ca_file: "${set.caFile}"`;
    const daemon = await start({ config: `tls { ${block}, verify: true }\n` });
    const own = { ca: set.ca, cert: set.client.cert, key: set.client.key };
    const connection = await client(daemon, { servers: `localhost:${daemon.port}`, tls: own });
    expect(connection.info?.tls_required).toBe(true);
    const received = new Promise<string>((resolve) => {
      connection.subscribe('x', { callback: (_error, message) => resolve(message.string()) });
    });
    connection.publish('x', 'y'.repeat(100_000));
    expect((await received).length).toBe(100_000);
    await expect(
      client(daemon, { servers: `localhost:${daemon.port}`, tls: { ca: set.ca } }),
    ).rejects.toThrow();
  });

  test('TLS handshake first', async () => {
    const set = certificates();
    const block = `cert_file: "${set.server.certFile}", key_file: "${set.server.keyFile}", handshake_first: true`;
    const daemon = await start({ config: `tls { ${block} }\n` });
    const connection = await client(daemon, {
      servers: `localhost:${daemon.port}`,
      tls: { ca: set.ca, handshakeFirst: true },
    });
    await connection.flush();
  });

  test('reconnects after a restart on the same port and resubscribes', async () => {
    const first = await start({});
    const port = first.port;
    const connection = await client(first, {
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
    });
    const seen: string[] = [];
    connection.subscribe('again', { callback: (_error, message) => void seen.push(message.string()) });
    connection.publish('again', 'one');
    await connection.flush();
    const reconnected = untilStatus(connection, 'reconnect');
    await first.stop();
    const second = await start({ port });
    await reconnected;
    const publisher = await client(second);
    await connection.flush();
    publisher.publish('again', 'two');
    await publisher.flush();
    await connection.flush();
    expect(seen).toEqual(['one', 'two']);
  });

  test('a stopping server closes its clients', async () => {
    const daemon = await start({});
    const connection = await client(daemon);
    const closed = connection.closed();
    expect(await daemon.stop('SIGINT')).toEqual({ code: 0, signal: null });
    await closed;
    expect(connection.isClosed()).toBe(true);
  });
});
