import { writeSync } from 'node:fs';

/** Writes `source[offset, offset + length)` at a position of an open file, in as many calls as it takes; throws what they throw. */
export function writeAll(
  fd: number,
  source: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  for (let done = 0; done < length; ) {
    done += writeSync(fd, source, offset + done, length - done, position + done);
  }
}

/**
 * Writes the first `length` bytes of `source` past the page cache.
 *
 * @param directFd opened with O_DIRECT; -1: there is none
 * @returns false when that can't be done here (EINVAL), or there is no descriptor; throws any other error
 */
export function writeDirect(directFd: number, source: Uint8Array, length: number, position: number): boolean {
  if (directFd < 0) return false;
  try {
    writeAll(directFd, source, 0, length, position);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return false;
  }
}
