/** TLS on the client listener: what is agreed on, who is let in, and what happens to those who take their time. */
import { createHash, X509Certificate } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { type CertificatePair, certificates } from '../support/certificates.ts';
import { Embedded } from '../support/embedded.ts';
import { RawClient, type RawClientOptions } from '../support/raw-client.ts';

/** The first bytes of a ClientHello: a handshake record that announces more than comes. */
const HALF_A_HELLO = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]);

interface Connection {
  cid: number;
  tls_version?: string;
  tls_cipher_suite?: string;
  tls_first?: boolean;
  tls_peer_certs?: { subject: string; spki_sha256: string; cert_sha256: string }[];
}

function tlsConfig(extra = ''): string {
  const { server, caFile } = certificates();
  return `tls {
  cert_file: "${server.certFile}"
  key_file: "${server.keyFile}"
  ca_file: "${caFile}"
  ${extra}
}
`;
}

function pin({ cert }: CertificatePair): string {
  const { publicKey } = new X509Certificate(cert);
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

describe.each([1, 3])('TLS, %i shard(s)', (shards) => {
  let daemon: Embedded;
  const clients: RawClient[] = [];

  async function start(config: string): Promise<void> {
    daemon = await Embedded.start(shards, config);
  }

  async function client(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const { ca } = certificates();
    const connection = await RawClient.connect({ port: daemon.port, transport: 'tls', ca, ...options });
    clients.push(connection);
    return connection;
  }

  async function served(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const connection = await client(options);
    expect(await connection.handshake()).toBe(true);
    return connection;
  }

  async function refused(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const connection = await client(options);
    await connection.untilClosed();
    return connection;
  }

  async function connz(query: string): Promise<Connection[]> {
    return (await daemon.monitoring(`/connz${query}`)).connections as Connection[];
  }

  afterEach(async () => {
    for (const connection of clients.splice(0)) connection.destroy();
    await daemon.stop();
  });

  describe('what is agreed on', () => {
    test('both versions, the newer one if the client may choose', async () => {
      await start(tlsConfig());
      await served();
      await served({ tls: { maxVersion: 'TLSv1.2' } });
      expect((await connz('')).map((connection) => connection.tls_version)).toEqual(['1.3', '1.2']);
      expect((await connz('')).every((connection) => connection.tls_cipher_suite?.startsWith('TLS_'))).toBe(
        true,
      );
    });

    test('min_version turns older clients away', async () => {
      await start(tlsConfig('min_version: "1.3"'));
      await served();
      await refused({ tls: { maxVersion: 'TLSv1.2' } });
      await daemon.untilLogged(/TLS handshake error: /);
      expect(await daemon.closeReasons(1)).toEqual(['TLS Handshake Failure']);
    });

    test('cipher_suites are the only ones', async () => {
      // For either kind of key.
      const suites = ['ECDSA', 'RSA'].map((kind) => `TLS_ECDHE_${kind}_WITH_AES_256_GCM_SHA384`);
      await start(tlsConfig(`cipher_suites: [ "${suites.join('", "')}" ]`));
      await served({ tls: { maxVersion: 'TLSv1.2' } });
      const [connection] = await connz('');
      expect(connection?.tls_version).toBe('1.2');
      expect(suites).toContain(connection?.tls_cipher_suite);
      const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256';
      await refused({ tls: { maxVersion: 'TLSv1.2', ciphers } });
      await daemon.untilLogged(/TLS handshake error: /);
      expect(await daemon.closeReasons(1)).toEqual(['TLS Handshake Failure']);
    });
  });

  describe('who is let in', () => {
    test('verify: a certificate of the right authority', async () => {
      const { client: known, stranger } = certificates();
      await start(tlsConfig('verify: true'));
      await served({ certificate: known });
      const [connection] = await connz('?auth=1');
      expect(connection?.tls_peer_certs?.[0]).toMatchObject({
        subject: 'CN=client,O=natsd test',
        spki_sha256: pin(known),
      });
      await refused({ certificate: stranger });
      await daemon.untilLogged(/TLS handshake error: tls: failed to verify certificate/);
      await refused();
      await daemon.untilLogged(/TLS handshake error: tls: client didn't provide a certificate/);
      expect(await daemon.closeReasons(2)).toEqual(['TLS Handshake Failure', 'TLS Handshake Failure']);
    });

    test('pinned_certs: one of these certificates', async () => {
      const { client: known, stranger, server } = certificates();
      await start(
        tlsConfig(`verify: true, pinned_certs: [ "${pin(stranger)}", "${pin(known).toUpperCase()}" ]`),
      );
      await served({ certificate: known });
      // Pinned, but not of the right authority; and the other way round.
      await refused({ certificate: stranger });
      await refused({ certificate: server });
      await daemon.untilLogged(/TLS handshake error: certificate not pinned/);
      expect(await daemon.closeReasons(2)).toEqual(['TLS Handshake Failure', 'TLS Handshake Failure']);
    });

    test('connection_rate_limit: so many in a second', async () => {
      await start(tlsConfig('connection_rate_limit: 5'));
      const connections = await Promise.all(Array.from({ length: 12 }, () => client({ transport: 'tcp' })));
      const throttled = connections.slice(5);
      await Promise.all(throttled.map((connection) => connection.untilClosed()));
      for (const { texts } of throttled) {
        expect(texts).toEqual([
          expect.stringMatching(/^INFO \{/),
          "-ERR 'Connection throttling is active. Please try again later.'",
        ]);
      }
      for (const connection of connections.slice(0, 5)) expect(connection.closed).toBe(false);
      expect(await daemon.closeReasons(7)).toEqual(Array(7).fill('Maximum Connections Exceeded'));
    });

    test('max_connections is said in clear', async () => {
      await start(`${tlsConfig()}max_connections: 1\n`);
      await served();
      const late = await refused({ transport: 'tcp' });
      expect(late.texts).toEqual([expect.stringMatching(/^INFO \{/), "-ERR 'maximum connections exceeded'"]);
    });

    test('max_connections with the handshake first: the error alone', async () => {
      await start(`${tlsConfig('handshake_first: true')}max_connections: 1\n`);
      await served({ transport: 'tls-first' });
      const late = await refused({ transport: 'tcp' });
      expect(late.texts).toEqual(["-ERR 'maximum connections exceeded'"]);
    });
  });

  describe('how it starts', () => {
    test('handshake_first with a delay: both kinds of clients', async () => {
      await start(tlsConfig('handshake_first: "1s"'));
      const first = await served({ transport: 'tls-first' });
      const later = await served();
      expect(await first.info()).toMatchObject({ tls_required: true });
      expect(await later.info()).toMatchObject({ tls_required: true });
      expect((await connz('')).map((connection) => connection.tls_first)).toEqual([true, undefined]);
    });

    test('handshake_first with a delay, and TLS optional', async () => {
      await start(`${tlsConfig('handshake_first: "1s"')}allow_non_tls: true\n`);
      await served({ transport: 'tls-first' });
      const plain = await client({ transport: 'tcp' });
      expect(await plain.info()).toMatchObject({ tls_available: true });
      expect(await plain.handshake()).toBe(true);
      await served();
      // Whatever comes before INFO is taken for the beginning of a handshake.
      const hasty = await client({ transport: 'tcp', preamble: Buffer.from('CONNECT {}\r\n') });
      await hasty.untilClosed();
      expect(hasty.frames).toEqual([]);
      const found = await connz('');
      expect(found.map((connection) => connection.tls_version ?? 'none')).toEqual(['1.3', 'none', '1.3']);
    });

    test('allow_non_tls: everybody talks with everybody', async () => {
      await start(`${tlsConfig('timeout: 2')}allow_non_tls: true\n`);
      const plain = await served({ transport: 'tcp' });
      const secure = await served();
      // Who says nothing during the timeout of a handshake speaks in clear from then on.
      const silent = await client({ transport: 'tcp' });
      await silent.info();
      for (const connection of [plain, secure, silent]) {
        expect(await connection.sync('SUB mixed 1\r\n')).toBe(true);
      }
      for (const connection of [plain, secure, silent]) await connection.sync('PUB mixed 2\r\nhi\r\n');
      for (const connection of [plain, secure, silent]) {
        await connection.sync();
        expect(connection.texts.filter((text) => text === 'MSG mixed 1 2\r\nhi')).toHaveLength(3);
      }
    });

    test('a handshake that is not finished is given up', async () => {
      await start(tlsConfig('timeout: 0.3'));
      const half = await client({ transport: 'tcp' });
      half.send(HALF_A_HELLO);
      await half.untilClosed();
      await daemon.untilLogged(/TLS handshake error: i\/o timeout/);
      expect(half.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
      expect(await daemon.closeReasons(1)).toEqual(['TLS Handshake Failure']);
    });

    test('a client that leaves in the middle of it', async () => {
      await start(tlsConfig());
      const half = await client({ transport: 'tcp' });
      await half.flush(HALF_A_HELLO);
      half.destroy();
      await served();
      expect(await daemon.closeReasons(1)).toEqual(['TLS Handshake Failure']);
      expect(daemon.lines).toContainEqual(
        expect.stringMatching(/TLS handshake error: (EOF|read ECONNRESET)$/),
      );
    });

    test('five hundred clients in the middle of it: others are served, and all of them end', async () => {
      await start(tlsConfig('timeout: 5'));
      const halves: RawClient[] = [];
      for (let wave = 0; wave < 10; wave += 1) {
        halves.push(...(await Promise.all(Array.from({ length: 50 }, () => client({ transport: 'tcp' })))));
      }
      for (const [index, half] of halves.entries()) if (index % 2 === 0) half.send(HALF_A_HELLO);
      const [reader, publisher] = [await served(), await served()];
      await reader.sync('SUB among 1\r\n');
      await publisher.sync('PUB among 2\r\nok\r\n');
      await reader.sync();
      expect(reader.texts).toContain('MSG among 1 2\r\nok');
      await Promise.all(halves.map((half) => half.untilClosed()));
      expect(new Set(await daemon.closeReasons(500))).toEqual(new Set(['TLS Handshake Failure']));
      expect((await daemon.monitoring('/varz')).connections).toBe(2);
    });
  });

  describe('what goes through', () => {
    test('big messages in both directions', async () => {
      await start(`max_payload: 8388608\n${tlsConfig()}`);
      const [one, two] = [await served(), await served()];
      for (const connection of [one, two]) await connection.sync('SUB big 1\r\n');
      for (const size of [1 << 14, (1 << 20) + 1, 1 << 23]) {
        const payload = String.fromCharCode(97 + (size % 13)).repeat(size);
        const message = `PUB big ${size}\r\n${payload}\r\n`;
        const [a, b] = [one.frames.length, two.frames.length];
        expect(await Promise.all([one.sync(message), two.sync(message)])).toEqual([true, true]);
        expect(await Promise.all([one.sync(), two.sync()])).toEqual([true, true]);
        for (const frames of [one.frames.slice(a), two.frames.slice(b)]) {
          const got = frames.filter((frame) => frame.op === 'MSG');
          expect(got).toHaveLength(2);
          expect(got.every((frame) => frame.payload === payload)).toBe(true);
        }
      }
    });

    const PAYLOAD = 's'.repeat(32_768);
    const BURST = `PUB flood ${PAYLOAD.length}\r\n${PAYLOAD}\r\n`.repeat(32);

    async function flood(config: string): Promise<{ slow: RawClient; publisher: RawClient }> {
      await start(`${config}${tlsConfig()}`);
      const [slow, publisher] = [await served(), await served()];
      await slow.sync('SUB flood 1\r\n');
      slow.pause();
      return { slow, publisher };
    }

    test('a reader that pauses gets everything afterwards', async () => {
      const { slow, publisher } = await flood('write_deadline: "20s"\n');
      for (let round = 0; round < 20; round += 1) expect(await publisher.sync(BURST)).toBe(true);
      slow.resume();
      expect(await slow.sync()).toBe(true);
      const got = slow.frames.filter((frame) => frame.op === 'MSG');
      expect(got).toHaveLength(640);
      expect(got.every((frame) => frame.payload === PAYLOAD)).toBe(true);
    });

    test.each([
      ['max_pending', 'max_pending: 4194304\nwrite_deadline: "20s"\n', 'Slow Consumer (Pending Bytes)'],
      ['write_deadline', 'write_deadline: "100ms"\n', 'Slow Consumer (Write Deadline)'],
      [
        'write_timeout: retry without progress',
        'write_deadline: "300ms"\nwrite_timeout: retry\n',
        'Slow Consumer (Write Deadline)',
      ],
    ])('a slow reader is closed: %s', async (_name, config, reason) => {
      const { publisher } = await flood(`debug: true\n${config}`);
      let closed = false;
      const logged = daemon.untilLogged(/Client connection closed: Slow Consumer/).then(() => {
        closed = true;
      });
      for (let round = 0; round < 40 && !closed; round += 1) expect(await publisher.sync(BURST)).toBe(true);
      await logged;
      expect(await daemon.closeReasons(1)).toEqual([reason]);
      expect(await publisher.sync()).toBe(true);
    });

    test('a slow reader is kept while it makes progress: write_timeout: retry', async () => {
      const { slow, publisher } = await flood('write_deadline: "3s"\nwrite_timeout: retry\n');
      let detected = false;
      const logged = daemon.untilLogged(/Slow Consumer Detected: WriteDeadline of 3s exceeded/).then(() => {
        detected = true;
      });
      let rounds = 0;
      for (; rounds < 30 && !detected; rounds += 1) expect(await publisher.sync(BURST)).toBe(true);
      await logged;
      // Now it has another 3 s.
      slow.resume();
      await daemon.untilLogged(/Slow Consumer Recovered/);
      expect(await slow.sync()).toBe(true);
      expect(slow.frames.filter((frame) => frame.op === 'MSG')).toHaveLength(32 * rounds);
    });
  });
});
