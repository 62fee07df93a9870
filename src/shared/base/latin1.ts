/** Text of the wire: one character a byte, so that subjects of any bytes survive the way to a string and back. */

const SLICE_BYTES = 2048;

/** @returns `bytes[start, end)` as a latin1 string */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at += SLICE_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(end, at + SLICE_BYTES)));
  }
  return text;
}

/** @returns the bytes of a latin1 string, followed by `slack` zero bytes */
export function latin1Bytes(text: string, slack = 0): Uint8Array {
  const bytes = new Uint8Array(text.length + slack);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The hash that the parser computes over subject bytes, over a latin1 string. */
export function hashLatin1(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}
