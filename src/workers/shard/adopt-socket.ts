import net from 'node:net';
import type { HandedConnection } from './contract.ts';

/** Where a socket reads to, and who is told. */
export interface ReadTarget {
  buffer: () => Uint8Array;
  callback: (count: number) => boolean;
}

/** The parts of a transferred socket that are needed to give its handle to a socket of our own making. */
interface SocketWithHandle {
  _handle: { fd?: number } | null;
}

/**
 * Makes the connection that main accepted a socket of this thread.
 *
 * Node ≥ 24.21 transfers the socket itself; older versions hand over a duplicated descriptor, which is then this thread's
 * alone. A transferred socket can't be told afterwards to read into our buffer, so its handle moves into one that can.
 *
 * @param target null: the socket is read in chunks, and paused until somebody listens
 */
export function adoptSocket(handed: HandedConnection, target: ReadTarget | null): net.Socket {
  const common = {
    writableHighWaterMark: 1,
    ...(target === null ? {} : { onread: target }),
  };
  const source = handed.socket as SocketWithHandle | null;
  let socket: net.Socket;
  if (source === null) {
    socket = new net.Socket({
      fd: handed.fd,
      readable: true,
      writable: true,
      ...common,
    } as net.SocketConstructorOpts);
  } else {
    const handle = source._handle;
    source._handle = null;
    socket = new net.Socket({
      handle,
      readable: true,
      writable: true,
      ...common,
    } as net.SocketConstructorOpts);
  }
  socket.setNoDelay(true);
  return socket;
}
