/** mosquitto_pub and mosquitto_sub against the server, where they are installed. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { mqttPort } from '../support/mqtt.ts';

function isInstalled(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v mosquitto_pub && command -v mosquitto_sub']);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!isInstalled()).each(['mqttv311', 'mqttv5'])('mosquitto clients, %s', (version) => {
  let daemon: Daemon;
  let common: string[] = [];

  beforeAll(async () => {
    const config = 'server_name: m\njetstream { store_dir: "./store" }\nmqtt { host: 127.0.0.1, port: -1 }\n';
    daemon = await Daemon.start({ config, shards: 2 });
    common = ['-h', '127.0.0.1', '-p', String(await mqttPort(daemon)), '-V', version];
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function lines(args: string[]): Promise<string[]> {
    const child = spawn('mosquitto_sub', [...common, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const found: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => found.push(line));
    await once(child, 'close');
    return found;
  }

  async function publish(args: string[]): Promise<void> {
    const child = spawn('mosquitto_pub', [...common, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
    expect((await once(child, 'close'))[0]).toBe(0);
  }

  test.each(['0', '1', '2'])('retained at QoS %s, received and shown', async (qos) => {
    await publish(['-t', `r/${qos}`, '-m', 'hello', '-q', qos, '-r']);
    expect(await lines(['-t', `r/${qos}/#`, '-q', '2', '-C', '1', '-W', '10', '-F', '%t %q %r %p'])).toEqual([
      `r/${qos} ${qos} 1 hello`,
    ]);
  });

  test('from mosquitto_pub to NATS', async () => {
    const client = await connect({ servers: `127.0.0.1:${daemon.port}` });
    const subscription = client.subscribe('room.*', { max: 1 });
    await client.flush();
    await publish(['-t', 'room/kitchen', '-m', '21.5', '-q', '1']);
    for await (const message of subscription)
      expect([message.subject, message.string()]).toEqual(['room.kitchen', '21.5']);
    await client.close();
  });

  test('a session that is kept', async () => {
    const session = [
      '-c',
      '-i',
      `kept-${version}`,
      ...(version === 'mqttv5' ? ['-x', '3600'] : []),
      '-t',
      'k',
      '-q',
      '1',
    ];
    await lines([...session, '-E']);
    await publish(['-t', 'k', '-m', 'while away', '-q', '1']);
    expect(await lines([...session, '-C', '1', '-W', '10'])).toEqual(['while away']);
  });
});
