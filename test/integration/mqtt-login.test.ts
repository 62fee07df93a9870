/** Who may do what over MQTT: users, tokens, TLS, permissions, limits, reload, monitoring. */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from '@nats-io/transport-node';
import bcrypt from 'bcryptjs';
import type { IClientOptions } from 'mqtt';
import { afterEach, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import { Daemon } from '../support/daemon.ts';
import { MqttPeer, mqttPort, RawMqtt } from '../support/mqtt.ts';
import { runServer } from '../support/run-server.ts';

let daemon: Daemon | null = null;
const peers: MqttPeer[] = [];

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.drop();
  await daemon?.stop();
  daemon = null;
});

const file = (mqtt: string, rest: string) => `
server_name: mqtt_login
jetstream { store_dir: "./store" }
${rest}
mqtt { host: 127.0.0.1, port: -1, ${mqtt} }
`;

async function start(mqtt: string, rest: string, flags: string[] = []): Promise<number> {
  daemon = await Daemon.start({ config: file(mqtt, rest), shards: 2, flags });
  return mqttPort(daemon);
}

async function peer(port: number, options: IClientOptions): Promise<MqttPeer> {
  const made = await MqttPeer.connect(port, options);
  peers.push(made);
  return made;
}

/** Code of the CONNACK, 0 when it is accepted. */
async function code(port: number, protocolVersion: 4 | 5, credentials: IClientOptions): Promise<number> {
  try {
    await peer(port, { protocolVersion, ...credentials });
    return 0;
  } catch (error) {
    return (error as { code?: number }).code ?? -1;
  }
}

// A hash is compared by a thread that has to be started first.
const USERS = `
authorization { timeout: 30, users [
  { user: anna, password: secret },
  { user: hash, password: "${bcrypt.hashSync('hidden', 4)}" },
  { user: nats_only, password: x, allowed_connection_types: [STANDARD] },
  { user: mqtt_only, password: x, allowed_connection_types: [MQTT] },
  { user: narrow, password: x, permissions { publish { allow: ["own.>"] }, subscribe { allow: ["own.>", "own"], deny: ["own.secret"] } } },
] }`;

test('users, passwords in clear and hashed, connection types', async () => {
  const port = await start('', USERS);
  const tries: [string | undefined, string | undefined][] = [
    ['anna', 'secret'],
    ['anna', 'wrong'],
    ['hash', 'hidden'],
    ['hash', 'wrong'],
    ['nats_only', 'x'],
    ['mqtt_only', 'x'],
    ['nobody', 'x'],
    [undefined, undefined],
  ];
  for (const [version, refused] of [
    [4, 5],
    [5, 0x87],
  ] as const) {
    const codes = [];
    for (const [username, password] of tries)
      codes.push(await code(port, version, username === undefined ? {} : { username, password: password! }));
    expect(codes).toEqual([0, refused, 0, refused, refused, 0, refused, refused]);
  }
});

test('a token is the password, whatever the user name', async () => {
  const port = await start('', 'authorization { token: "t0ken" }');
  expect(await code(port, 4, { username: 'any', password: 't0ken' })).toBe(0);
  // MQTT.js writes no password without a user name, though 5.0 has it.
  const raw = await RawMqtt.open(port, 5);
  raw.write('10 15 0004 4d515454 05 42 0000 00 0001 61 0005 74306b656e');
  expect(await raw.until('connack')).toMatchObject({ reasonCode: 0 });
  raw.destroy();
  expect(await code(port, 4, { username: 'any', password: 'other' })).toBe(5);
});

test('credentials of the listener alone', async () => {
  const port = await start('authorization { user: mq, password: pw }', '');
  expect(await code(port, 4, { username: 'mq', password: 'pw' })).toBe(0);
  expect(await code(port, 4, {})).toBe(5);
  const client = await connect({ servers: `127.0.0.1:${daemon!.port}` });
  await client.close();
});

test('no_auth_user of the listener', async () => {
  const port = await start('no_auth_user: anna', USERS);
  expect(await code(port, 4, {})).toBe(0);
  expect(await code(port, 4, { username: 'anna', password: 'wrong' })).toBe(5);
});

test('permissions: SUBACK, PUBACK, deliveries on wildcards, wills, retained messages', async () => {
  const port = await start('', USERS);
  const anna = await peer(port, { username: 'anna', password: 'secret' });
  await anna.client.subscribeAsync('#', { qos: 1 });
  const will = { topic: 'foreign/will', payload: Buffer.from('w') };
  const narrow = await peer(port, { username: 'narrow', password: 'x', protocolVersion: 5, will });
  await expect(narrow.client.subscribeAsync('foreign/#')).rejects.toThrow();
  await anna.client.publishAsync('own/secret', 'kept from them', { qos: 1, retain: true });
  await narrow.client.subscribeAsync('own/#', { qos: 1 });
  await expect(narrow.client.publishAsync('foreign/x', 'no', { qos: 1 })).rejects.toMatchObject({
    code: 0x87,
  });
  await narrow.client.publishAsync('foreign/x', 'no', { qos: 0 });
  await anna.client.publishAsync('own/secret', 'again', { qos: 1 });
  await narrow.client.publishAsync('own/x', 'yes', { qos: 1 });
  expect(await narrow.received(1)).toMatchObject([{ topic: 'own/x' }]);
  narrow.drop();
  // 3.1.1 has no code for it: acknowledged and dropped.
  const four = await peer(port, { username: 'narrow', password: 'x', protocolVersion: 4 });
  await four.client.publishAsync('foreign/y', 'no', { qos: 2 });
  await four.client.publishAsync('own/end', 'end', { qos: 1 });
  const topics = (await anna.received(4)).map(({ topic }) => topic);
  expect(topics).toEqual(['own/secret', 'own/secret', 'own/x', 'own/end']);
});

test('TLS, and certificates of clients that have to be shown', async () => {
  const { server, client, stranger, ca, caFile } = certificates();
  const tls = `tls { cert_file: "${server.certFile}", key_file: "${server.keyFile}", ca_file: "${caFile}", verify: true }`;
  const port = await start(tls, '');
  const options: IClientOptions = { protocol: 'mqtts', ca, servername: 'localhost' };
  const shown = await peer(port, { ...options, cert: client.cert, key: client.key });
  await shown.client.subscribeAsync('tls');
  await shown.client.publishAsync('tls', 'x'.repeat(100_000), { qos: 1 });
  expect((await shown.received(1))[0]?.payload.length).toBe(100_000);
  for (const pair of [undefined, stranger]) {
    const credentials = pair === undefined ? {} : { cert: pair.cert, key: pair.key };
    await expect(peer(port, { ...options, ...credentials })).rejects.toThrow();
  }
});

test('allow_non_tls: the first byte says which it is', async () => {
  const { server, ca } = certificates();
  const tls = `tls { cert_file: "${server.certFile}", key_file: "${server.keyFile}" }`;
  const port = await start(tls, 'allow_non_tls: true');
  await peer(port, {});
  await peer(port, { protocol: 'mqtts', ca, servername: 'localhost' });
});

test('max_connections: closed without a packet', async () => {
  const port = await start('', 'max_connections: 1');
  await peer(port, {});
  const second = await RawMqtt.open(port);
  expect(await second.untilClosed()).toEqual([]);
});

test('account mappings apply to topics, and subject limits to filters', async () => {
  const port = await start('', 'mappings { "from.*": "to.{{wildcard(1)}}" }\nmax_subscriptions: 2');
  const client = await peer(port, {});
  await client.client.subscribeAsync('to/+', { qos: 1 });
  await client.client.publishAsync('from/here', 'mapped', { qos: 1, retain: true });
  expect(await client.received(1)).toMatchObject([{ topic: 'to/here', payload: 'mapped' }]);
  await client.client.subscribeAsync('second');
  await expect(client.client.subscribeAsync('third')).rejects.toThrow();
});

test('reject_qos2_publish and downgrade_qos2_subscribe', async () => {
  const port = await start('reject_qos2_publish: true, downgrade_qos2_subscribe: true', '');
  const client = await peer(port, { protocolVersion: 5 });
  const granted = await client.client.subscribeAsync('a', { qos: 2 });
  expect(granted.map(({ qos }) => qos)).toEqual([1]);
  const raw = await RawMqtt.connected(port, 5);
  expect(await raw.until('connack')).toMatchObject({ properties: { maximumQoS: 1 } });
  raw.send({ cmd: 'publish', topic: 'a', payload: '', qos: 2, messageId: 1, dup: false, retain: false });
  expect((await raw.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x9b });
  const will = { topic: 'w', payload: Buffer.from(''), qos: 2 as const };
  expect(await code(port, 4, { will })).toBe(0x10);
  expect(await code(port, 5, { will })).toBe(0x9b);
});

test('reload: a user that is gone is told, permissions that shrank end subscriptions', async () => {
  const port = await start('', USERS);
  const narrow = await peer(port, { username: 'narrow', password: 'x', protocolVersion: 5 });
  await narrow.client.subscribeAsync(['own/#', 'own']);
  const anna = await peer(port, { username: 'anna', password: 'secret', protocolVersion: 5 });
  const before = readFileSync(daemon!.configFile, 'utf8');
  writeFileSync(
    daemon!.configFile,
    before
      .replace('{ user: anna, password: secret },', '{ user: bert, password: b },')
      .replace('allow: ["own.>", "own"]', 'allow: ["own"]'),
  );
  daemon!.kill('SIGHUP');
  await daemon!.untilLogged(/Reloaded server configuration/);
  await anna.untilClosed();
  expect(anna.disconnectReason).toBe(0x87);
  const bert = await peer(port, { username: 'bert', password: 'b' });
  await bert.client.publishAsync('own/x', 'not any more', { qos: 1 });
  await bert.client.publishAsync('own', 'still', { qos: 1 });
  expect(await narrow.received(1)).toMatchObject([{ topic: 'own' }]);
});

test('/connz and /varz know them', async () => {
  const port = await start('max_ack_pending: 77', '', ['-m', '-1']);
  await peer(port, { clientId: 'sensor-7' });
  const connz = (await (await fetch(`${daemon!.monitoringUrl}/connz?mqtt_client=sensor-7`)).json()) as {
    connections: Record<string, unknown>[];
  };
  expect(connz.connections).toMatchObject([{ kind: 'Client', type: 'mqtt', mqtt_client: 'sensor-7' }]);
  const varz = (await (await fetch(`${daemon!.monitoringUrl}/varz`)).json()) as { mqtt: unknown };
  expect(varz.mqtt).toMatchObject({ host: '127.0.0.1', port, max_ack_pending: 77, ack_wait: 30_000_000_000 });
});

describe('what the server refuses to start with', () => {
  test.each([
    [
      'no JetStream',
      'mqtt { port: -1 }',
      'mqtt requires JetStream to be enabled if running in standalone mode',
    ],
    [
      'a user of the listener beside users',
      file('authorization { user: a, password: b }', USERS),
      'mqtt authentication username not compatible with presence of users/nkeys',
    ],
    [
      'a token of the listener beside users',
      file('authorization { token: a }', USERS),
      'mqtt authentication token not compatible with presence of users/nkeys',
    ],
    ['an unknown no_auth_user', file('no_auth_user: who', USERS), 'no_auth_user: "who" not present'],
    ['a negative wait', file('ack_wait: "-1s"', ''), 'ack wait must be a positive value'],
  ])('%s', async (_name, config, text) => {
    daemon = await Daemon.start({ shards: 1 });
    const path = `${daemon.directory}/refused.conf`;
    writeFileSync(path, config);
    const { code: exit, stderr, stdout } = await runServer(['-c', path, '-p', '-1']);
    expect(exit).toBe(1);
    expect(stderr + stdout).toContain(text);
  });
});
