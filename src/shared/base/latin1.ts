/** Text of the wire: one character a byte, so that subjects of any bytes survive the way to a string and back. */

/** Larger memory isn't kept alive for the sake of the next call. */
const WRAPPED_MAX_BYTES = 256 * 1024;

/** The memory of the last call, as a Buffer: its native slicing is ten times faster than building strings from codes. */
let wrapped: Buffer = Buffer.alloc(0);

/** @returns `bytes[start, end)` as a latin1 string */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  const { buffer, byteOffset } = bytes;
  if (wrapped.buffer !== buffer) {
    const whole = Buffer.from(buffer, 0, buffer.byteLength);
    if (buffer.byteLength > WRAPPED_MAX_BYTES)
      return whole.toString('latin1', byteOffset + start, byteOffset + end);
    wrapped = whole;
  }
  return wrapped.toString('latin1', byteOffset + start, byteOffset + end);
}

/** @returns the bytes of a latin1 string, followed by `slack` zero bytes */
export function latin1Bytes(text: string, slack = 0): Uint8Array {
  const bytes = new Uint8Array(text.length + slack);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The hash that the parser computes over subject bytes. @param hash of what comes before `bytes[start, end)` */
export function hashBytes(bytes: Uint8Array, start: number, end: number, hash = 0): number {
  let result = hash;
  for (let i = start; i < end; i++) result = (Math.imul(result, 31) + bytes[i]!) | 0;
  return result;
}

/** The same over a latin1 string. */
export function hashLatin1(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}
