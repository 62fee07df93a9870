/** Stores that are damaged, of another version, or somebody else's, under a real server. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { GUARD_MS } from '../support/waiting.ts';

const CONFIG = 'jetstream { store_dir: store }';
const MESSAGES = 40;

let directory = '';
let daemon: Daemon | null = null;
let nc: NatsConnection | null = null;

async function start(): Promise<NatsConnection> {
  daemon = await Daemon.start({ shards: 1, config: CONFIG, directory });
  nc = await connect({ port: daemon.port, reconnect: false });
  return nc;
}

async function stop(): Promise<void> {
  await nc?.close();
  await daemon?.stop('SIGTERM', true);
}

function payload(sequence: number): string {
  return `message ${sequence} `.repeat(20);
}

/** Files below a directory with their bytes. */
function content(root: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(root, name);
    files.set(name, statSync(path).isFile() ? readFileSync(path).toString('latin1') : 'directory');
  }
  return files;
}

async function request(subject: string, body: string): Promise<string> {
  const reply = await nc!.request(subject, body, { timeout: GUARD_MS });
  return reply.headers?.description || reply.string();
}

async function fill(): Promise<void> {
  await start();
  await request(
    '$JS.API.STREAM.CREATE.S',
    JSON.stringify({ name: 'S', subjects: ['s'], allow_direct: true }),
  );
  for (let i = 1; i <= MESSAGES; i++)
    expect(JSON.parse(await request('s', payload(i)))).toMatchObject({ seq: i });
  await stop();
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-damage-'));
});

afterEach(async () => {
  await nc?.close();
  await daemon?.stop('SIGKILL', true);
  rmSync(directory, { recursive: true, force: true });
});

describe('a damaged store', () => {
  test('costs the messages that are damaged; the log says which; all others are served', async () => {
    await fill();
    const file = join(directory, 'store/jetstream/streams/00000001/00000001.blk');
    const bytes = readFileSync(file);
    const lost = [1, 17, MESSAGES];
    for (const sequence of lost) {
      const at = bytes.indexOf(`message ${sequence} `);
      bytes[at + 5] = bytes[at + 5]! ^ 1;
    }
    writeFileSync(file, bytes);
    await start();
    for (let i = 1; i <= MESSAGES; i++) {
      const body = await request('$JS.API.DIRECT.GET.S', JSON.stringify({ seq: i }));
      expect(body).toBe(lost.includes(i) ? 'Message Not Found' : payload(i));
    }
    for (const sequence of lost)
      await daemon!.untilLogged(new RegExp(`\\[WRN\\].*stream '\\$G > S'.*sequence ${sequence} lost`));
    expect(JSON.parse(await request('s', 'next'))).toMatchObject({ seq: MESSAGES + 1 });
  });

  test('serves from the other copy when one of root or manifest is damaged', async () => {
    await fill();
    for (const name of ['root.a', 'streams/00000001/manifest.b']) {
      const file = join(directory, 'store/jetstream', name);
      const bytes = readFileSync(file);
      bytes[40] = bytes[40]! ^ 0x80;
      writeFileSync(file, bytes);
    }
    await start();
    for (let i = 1; i <= MESSAGES; i++)
      expect(await request('$JS.API.DIRECT.GET.S', JSON.stringify({ seq: i }))).toBe(payload(i));
  });
});

describe('a store directory that is not ours', () => {
  /** Starts a server on the store, which has to fail. */
  async function expectRefusal(reason: RegExp): Promise<void> {
    const store = join(directory, 'store');
    const before = content(store);
    expect(before.size).toBeGreaterThan(1);
    const config = `jetstream { store_dir: "${store}" }`;
    await expect(Daemon.start({ shards: 1, config })).rejects.toThrow(reason);
    expect(content(store)).toEqual(before);
  }

  test.each([
    ['of nats-server', '$G/streams/ORDERS/meta.inf'],
    ['of somebody else', 'photos/1.jpg'],
  ])('%s is refused and left as it is', async (_owner, path) => {
    const file = join(directory, 'store/jetstream', path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '{"Created":"2026-11-20T12:23:00Z","name":"ORDERS"}');
    await expectRefusal(/\[FTL\].*is not a store of natsd.*left untouched/);
  });

  test('with an unreadable root is refused and left as it is', async () => {
    await fill();
    for (const name of ['root.a', 'root.b']) {
      const file = join(directory, 'store/jetstream', name);
      const bytes = readFileSync(file);
      bytes[4] = 99;
      writeFileSync(file, bytes);
    }
    await expectRefusal(/\[FTL\].*left untouched/);
  });
});
