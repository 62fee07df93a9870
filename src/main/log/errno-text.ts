/**
 * The words the operating system has for its errors. libuv words several of them differently ("illegal operation on
 * a directory"), but tools match the classic ones in log lines, e.g. `bind: address already in use`.
 */

const TEXTS = new Map<string, string>([
  ['EACCES', 'permission denied'],
  ['EADDRINUSE', 'address already in use'],
  ['EADDRNOTAVAIL', 'cannot assign requested address'],
  ['EAFNOSUPPORT', 'address family not supported by protocol'],
  ['EAGAIN', 'resource temporarily unavailable'],
  ['EBADF', 'bad file descriptor'],
  ['ECONNREFUSED', 'connection refused'],
  ['ECONNRESET', 'connection reset by peer'],
  ['EDQUOT', 'disk quota exceeded'],
  ['EEXIST', 'file exists'],
  ['EFBIG', 'file too large'],
  ['EHOSTUNREACH', 'no route to host'],
  ['EINVAL', 'invalid argument'],
  ['EIO', 'input/output error'],
  ['EISDIR', 'is a directory'],
  ['ELOOP', 'too many levels of symbolic links'],
  ['EMFILE', 'too many open files'],
  ['EMSGSIZE', 'message too long'],
  ['ENAMETOOLONG', 'file name too long'],
  ['ENETUNREACH', 'network is unreachable'],
  ['ENFILE', 'too many open files in system'],
  ['ENOENT', 'no such file or directory'],
  ['ENOMEM', 'cannot allocate memory'],
  ['ENOSPC', 'no space left on device'],
  ['ENOTDIR', 'not a directory'],
  ['ENOTSOCK', 'socket operation on non-socket'],
  ['ENXIO', 'no such device or address'],
  ['EPERM', 'operation not permitted'],
  ['EPIPE', 'broken pipe'],
  ['EPROTOTYPE', 'protocol wrong type for socket'],
  ['EROFS', 'read-only file system'],
  ['ESRCH', 'no such process'],
  ['ETIMEDOUT', 'connection timed out'],
  ['ETXTBSY', 'text file busy'],
  ['ENOTFOUND', 'no such host'],
]);

/** The code of a failed system call (`ENOENT`), or the empty string. */
export function errnoCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** What the system says about a failed call: `no such file or directory`; falls back to the error's message. */
export function errnoText(error: unknown): string {
  const text = TEXTS.get(errnoCode(error));
  if (text !== undefined) return text;
  return error instanceof Error ? error.message : String(error);
}

/** `open /x/y: no such file or directory`. */
export function fileErrorText(operation: string, path: string, error: unknown): string {
  return `${operation} ${path}: ${errnoText(error)}`;
}
