import net from 'node:net';

/** A listening socket that hands every accepted connection on, unread. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly error: Error | null;
  readonly listening: boolean;
  close(): void;
  /** Closes, and resolves when the port is free. */
  closed(): Promise<void>;
}

const BACKLOG = 4096;

/**
 * Listens and calls `accepted` for every connection.
 * @param port -1 is a random port
 * @throws the system error when the address can't be used
 */
export async function listen(
  host: string,
  port: number,
  accepted: (socket: net.Socket) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  const server = net.createServer({ pauseOnConnect: true, noDelay: false }, accepted);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: Math.max(port, 0), backlog: BACKLOG }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  let failure: Error | null = null;
  server.on('error', (error) => {
    failure = error;
    onError(error);
  });
  const address = server.address() as net.AddressInfo;
  return {
    host,
    port: address.port,
    get error() {
      return failure;
    },
    get listening() {
      return server.listening;
    },
    close: () => {
      server.close();
    },
    closed: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
