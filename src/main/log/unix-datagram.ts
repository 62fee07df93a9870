/**
 * Datagrams to an AF_UNIX socket: local syslog (/dev/log) and systemd's notification socket speak nothing else, and
 * Node has no such socket. koffi calls the three libc functions; it is loaded only by whoever needs a datagram.
 *
 * Rejected: a `logger`/`systemd-notify` child per message or on a pipe. systemd accepts notifications of the main
 * process alone (NotifyAccess=main), and a child can die with lines in its pipe.
 */

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_STREAM = 1;
/** Linux: close the socket on exec, so that no child process inherits it. */
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT_LINUX = 0x40;
const MSG_DONTWAIT_DARWIN = 0x80;
/** sun_path has 108 bytes, one for the final zero. */
const MAX_PATH_BYTES = 107;

export type UnixSocketKind = 'datagram' | 'stream';

/** A connected AF_UNIX socket; `send` is one system call and never blocks. */
export interface UnixDatagram {
  /** 0, or the errno of the failed call. */
  send(bytes: Uint8Array): number;
  close(): void;
}

/** The socket could not be had; `errno` is the system's number (0: no system call was reached). */
export class UnixSocketError extends Error {
  override readonly name = 'UnixSocketError';
  readonly errno: number;

  constructor(message: string, errno: number) {
    super(message);
    this.errno = errno;
  }
}

/**
 * The `sockaddr_un` of a path. A leading `@` names a socket of Linux's abstract namespace (a zero byte follows in its
 * place, and the length ends the name). Throws UnixSocketError for a name the structure cannot hold.
 */
export function encodeUnixAddress(path: string, platform: NodeJS.Platform = process.platform): Uint8Array {
  const name = Buffer.from(path);
  const isAbstract = path.startsWith('@');
  if (name.length === 0 || name.length > MAX_PATH_BYTES) {
    throw new UnixSocketError(`socket name must have 1 to ${MAX_PATH_BYTES} bytes, not ${name.length}`, 0);
  }
  const address = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  if (platform === 'darwin') {
    address[0] = address.length;
    address[1] = AF_UNIX;
  } else {
    // sa_family_t is in host order, and every host Node supports is little-endian but s390x, where tests would tell.
    new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_UNIX;
  }
  name.copy(address, 2);
  if (isAbstract) address[2] = 0;
  return address;
}

/** Opens sockets; once loaded, opening (and so reconnecting) is synchronous. */
export interface UnixSockets {
  /** Connects to `path`. Throws UnixSocketError. */
  open(path: string, kind?: UnixSocketKind): UnixDatagram;
}

/** Loads the foreign function interface (about 8 ms) and binds libc's socket calls. */
export async function loadUnixSockets(): Promise<UnixSockets> {
  const { default: koffi } = await import('koffi');
  const isLinux = process.platform === 'linux';
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const connect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
  const send = libc.func('intptr_t send(int fd, const uint8_t *bytes, size_t length, int flags)');
  const close = libc.func('int close(int fd)');
  const sendFlags = isLinux ? MSG_NOSIGNAL | MSG_DONTWAIT_LINUX : MSG_DONTWAIT_DARWIN;
  return {
    open(path, kind = 'datagram') {
      const address = encodeUnixAddress(path);
      const type = kind === 'datagram' ? SOCK_DGRAM : SOCK_STREAM;
      const fd: number = socket(AF_UNIX, isLinux ? type | SOCK_CLOEXEC : type, 0);
      if (fd < 0) throw new UnixSocketError('socket() failed', koffi.errno());
      if (connect(fd, address, address.length) < 0) {
        const errno = koffi.errno();
        close(fd);
        throw new UnixSocketError(`connect() to ${path} failed with errno ${errno}`, errno);
      }
      return {
        send(bytes) {
          const sent: number = send(fd, bytes, bytes.length, sendFlags);
          return sent < 0 ? koffi.errno() : 0;
        },
        close() {
          close(fd);
        },
      };
    },
  };
}
