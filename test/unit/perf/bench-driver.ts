// What the tests of the load generator have in common: the generator itself, and the least server that it can talk to.

import { spawnSync } from 'node:child_process';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface Target {
  binary: string;
  port: number;
  pid: number;
  user: string | null;
  password: string | null;
}

export type Options = Record<string, string | number>;

/** What perf/run.mjs relies on. */
interface Driver {
  compileDriver(): string;
  runDriver(target: Target, mode: string, options: Options): Promise<Record<string, number>>;
  holdConnections(target: Target, options: Options): Promise<{ release(): Promise<void> }>;
}

const location = new URL('../../../perf/harness/driver.mjs', import.meta.url).href;
export const { compileDriver, runDriver, holdConnections }: Driver = await import(location);
export const available =
  process.platform === 'linux' && spawnSync(process.env.CC ?? 'cc', ['--version']).status === 0;

/** What a client sent: `rest` are the arguments behind the subject, the payload is without its line end. */
export interface Operation {
  verb: string;
  subject: string;
  rest: string[];
  payload: Buffer;
}

/** A server that reads operations, and leaves the answers to its test. */
export class OperationServer {
  readonly #server: Server;

  constructor(
    take: (operation: Operation, socket: Socket) => void,
    ended: (socket: Socket) => void = () => undefined,
  ) {
    this.#server = createServer((socket) => {
      let pending = Buffer.alloc(0);
      socket.write('INFO {"server_id":"test"}\r\n');
      socket.on('error', () => socket.destroy());
      socket.on('close', () => ended(socket));
      socket.on('data', (bytes) => {
        pending = Buffer.concat([pending, bytes]);
        for (let end = pending.indexOf('\r\n'); end >= 0; end = pending.indexOf('\r\n')) {
          const [verb = '', subject = '', ...rest] = pending.toString('latin1', 0, end).split(' ');
          const size = verb === 'PUB' ? Number(rest.at(-1)) + 2 : 0;
          if (pending.length < end + 2 + size) return;
          const payload = pending.subarray(end + 2, end + Math.max(2, size));
          take({ verb, subject, rest, payload }, socket);
          pending = pending.subarray(end + 2 + size);
        }
      });
    });
  }

  /** A target of the generator, once the server listens. */
  async target(user: string, password: string): Promise<Target> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    return { binary: compileDriver(), port, pid: process.pid, user, password };
  }

  connections(): Promise<number> {
    return new Promise((resolve) => this.#server.getConnections((_, count) => resolve(count)));
  }

  close(): void {
    this.#server.close();
  }
}
