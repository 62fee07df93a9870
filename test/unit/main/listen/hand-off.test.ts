import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { canTransferSockets, createHandOff } from '../../../../src/main/listen/hand-off.ts';

describe('which versions of Node transfer sockets', () => {
  test.each([
    ['v20.20.2', false],
    ['v22.22.0', false],
    ['v24.0.0', false],
    ['v24.20.9', false],
    ['v24.21.0', true],
    ['v24.30.1', true],
    ['v25.9.0', false],
    ['v26.0.0', false],
    ['v26.5.3', false],
    ['v26.6.0', true],
    ['v26.10.0', true],
    ['v27.0.0', true],
    ['v27.0.0-nightly20270101abcdef', true],
    ['24.21.0', true],
  ])('%s: %s', (version, expected) => {
    expect(canTransferSockets(version)).toBe(expected);
  });
});

describe('detaching', () => {
  const open: { destroy(): void }[] = [];
  let server: net.Server;

  async function accept(): Promise<{ accepted: net.Socket; client: net.Socket }> {
    server = net.createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    const [accepted] = (await once(server, 'connection')) as [net.Socket];
    open.push(client, accepted);
    return { accepted, client };
  }

  afterEach(() => {
    for (const socket of open.splice(0)) socket.destroy();
    server.close();
  });

  test('a duplicate outlives the socket it was made from', async () => {
    const handOff = await createHandOff('duplicate');
    expect(handOff.method).toBe('duplicate');
    const { accepted, client } = await accept();
    const { fd, socket } = handOff.detach(accepted);
    expect(socket).toBeNull();
    expect(accepted.destroyed).toBe(true);
    await new Promise((resolve) => accepted.once('close', resolve));
    const owner = new net.Socket({ fd, readable: true, writable: true });
    open.push(owner);
    client.write('ping');
    expect(String((await once(owner, 'data'))[0])).toBe('ping');
    owner.write('pong');
    expect(String((await once(client, 'data'))[0])).toBe('pong');
  });

  test('a duplicate of a socket that is gone is refused', async () => {
    const handOff = await createHandOff('duplicate');
    const { accepted } = await accept();
    accepted.destroy();
    expect(() => handOff.detach(accepted)).toThrow(/cannot duplicate the descriptor/);
  });

  test('a transferred socket is passed on as it is', async () => {
    const handOff = await createHandOff('transfer');
    expect(handOff.method).toBe('transfer');
    const { accepted } = await accept();
    expect(handOff.detach(accepted)).toEqual({ fd: -1, socket: accepted });
    expect(accepted.destroyed).toBe(false);
  });

  test('the better way is chosen', async () => {
    const expected = canTransferSockets(process.version) ? 'transfer' : 'duplicate';
    expect((await createHandOff()).method).toBe(expected);
  });
});
