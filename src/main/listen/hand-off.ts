import type net from 'node:net';

/**
 * How an accepted socket leaves main for a shard.
 *
 * Node ≥ 24.21 and ≥ 26.6 transfer the socket object itself. Older versions know no way to move a handle between event
 * loops, but file descriptors belong to the process: the descriptor is duplicated, main's own handle is closed, and the
 * duplicate is the shard's alone. Passing the original number would leave two owners, of which the first to close it closes
 * it for both, or worse, closes whatever got the number next.
 */
export interface HandOff {
  readonly method: HandOffMethod;
  /** Detaches the socket from main. Throws when the descriptor can't be duplicated (EMFILE): the caller drops the socket. */
  detach(socket: net.Socket): { fd: number; socket: net.Socket | null };
}

export type HandOffMethod = 'transfer' | 'duplicate';

interface HandleOwner {
  _handle: { fd?: number } | null;
}

/** Whether this version of Node transfers sockets. */
export function canTransferSockets(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (major === 24) return minor >= 21;
  return major > 26 || (major === 26 && minor >= 6);
}

/** @param method forces one way (tests run both where Node has both) */
export async function createHandOff(method?: HandOffMethod): Promise<HandOff> {
  const chosen = method ?? (canTransferSockets(process.version) ? 'transfer' : 'duplicate');
  return chosen === 'transfer'
    ? { method: 'transfer', detach: (socket) => ({ fd: -1, socket }) }
    : duplicating();
}

async function duplicating(): Promise<HandOff> {
  const { default: koffi } = await import('koffi');
  const libc = koffi.load(null);
  const fcntl = libc.func('int fcntl(int fd, int cmd, ...)');
  // F_DUPFD_CLOEXEC: a child process must not inherit a client's connection.
  const command = process.platform === 'darwin' ? 67 : 1030;
  return {
    method: 'duplicate',
    detach(socket) {
      const original = (socket as unknown as HandleOwner)._handle?.fd ?? -1;
      const fd: number = original < 0 ? -1 : (fcntl(original, command, 'int', 0) as number);
      socket.destroy();
      if (fd < 0)
        throw new Error(`cannot duplicate the descriptor of an accepted connection (errno ${koffi.errno()})`);
      return { fd, socket: null };
    },
  };
}
