/** Where natsd is stricter than nats-server on purpose; everything else is compared with its recorded answers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { serverUnderTest } from '../support/server-command.ts';

describe.runIf(serverUnderTest().isNatsd)('deliberate differences', () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await Daemon.start({
      config:
        'authorization { users: [ { user: u, password: p, permissions: { subscribe: ["s.b.*"] } } ] }\n',
    });
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  // nats-server lets `*` of an allowed subject cover a final `>`, and then delivers s.b.c.d as well.
  test('a full wildcard is not allowed by a partial one', async () => {
    const client = await RawClient.connect({ port: daemon.port });
    await client.handshake({ user: 'u', pass: 'p' });
    await client.sync('SUB s.b.> 1\r\nSUB s.b.* 2\r\n');
    expect(client.texts.filter((text) => text.startsWith('-ERR'))).toEqual([
      `-ERR 'Permissions Violation for Subscription to "s.b.>"'`,
    ]);
    await client.end();
  });
});
