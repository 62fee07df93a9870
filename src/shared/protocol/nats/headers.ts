/**
 * The header block of a message (client-protocol §8):
 *
 * ```
 *   NATS/1.0[ <status>[ <description>]]\r\n
 *   <name>:<value>\r\n
 *   \r\n
 * ```
 *
 * Blocks come from clients and are not checked when they are published, so every function takes any bytes, and none
 * reads beyond the block. Names are looked up as they are written: the case counts.
 */

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;

/** The status line without status. */
const VERSION = 'NATS/1.0';
/** Length of the shortest block: the version and two line ends. */
const MIN_HEADER_BYTES = VERSION.length + 4;

const encoder = new TextEncoder();

/** Names looked for are few, and the same ones for every message; the bound is for those that come from outside. */
const MAX_KNOWN_NAMES = 64;
const knownNames = new Map<string, Uint8Array>();

function nameBytes(name: string): Uint8Array {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const bytes = encoder.encode(name);
  if (knownNames.size < MAX_KNOWN_NAMES) knownNames.set(name, bytes);
  return bytes;
}

/** A header line: offsets of its first byte, of its value, of the CR that ends it. */
interface Line {
  start: number;
  valueStart: number;
  valueEnd: number;
}

/** The bytes as text of one character each. */
function latin1Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Offset of the next CRLF from `from` on, or -1. */
function findLineEnd(block: Uint8Array, from: number): number {
  for (let at = block.indexOf(CR, from); at !== -1; at = block.indexOf(CR, at + 1)) {
    if (block[at + 1] === LF) return at;
  }
  return -1;
}

function startsWith(block: Uint8Array, at: number, name: Uint8Array): boolean {
  if (at + name.length > block.length) return false;
  for (let i = 0; i < name.length; i++) if (block[at + i] !== name[i]) return false;
  return true;
}

/** The first line of the name from `from` (the offset of a CRLF) on, or null. */
function findLine(block: Uint8Array, name: Uint8Array, from: number): Line | null {
  for (let end = findLineEnd(block, from); end !== -1; end = findLineEnd(block, end + 2)) {
    const start = end + 2;
    if (!startsWith(block, start, name) || block[start + name.length] !== COLON) continue;
    let valueStart = start + name.length + 1;
    while (block[valueStart] === SPACE) valueStart++;
    const valueEnd = findLineEnd(block, valueStart);
    return valueEnd === -1 ? null : { start, valueStart, valueEnd };
  }
  return null;
}

/**
 * Value of the first header of the name: the bytes behind the colon and any spaces, up to the end of the line. A view
 * into the block; null when there is none.
 */
export function findHeader(block: Uint8Array, name: string): Uint8Array | null {
  if (block.length === 0) return null;
  const line = findLine(block, nameBytes(name), 0);
  return line === null ? null : block.subarray(line.valueStart, line.valueEnd);
}

/** Like `findHeader`, as text of one character a byte. */
export function headerText(block: Uint8Array, name: string): string | null {
  const value = findHeader(block, name);
  return value === null ? null : latin1Of(value);
}

/**
 * Removes every header of the name.
 *
 * @returns a new block, the same one when it has no such header, or an empty one when no header and no status is left.
 */
export function removeHeader(block: Uint8Array, name: string): Uint8Array {
  const key = nameBytes(name);
  const kept: Uint8Array[] = [];
  let from = 0;
  let search = 0;
  for (let line = findLine(block, key, search); line !== null; line = findLine(block, key, search)) {
    kept.push(block.subarray(from, line.start));
    from = line.valueEnd + 2;
    // The CRLF that ends the removed line begins the next one.
    search = line.valueEnd;
  }
  if (from === 0) return block;
  kept.push(block.subarray(from));
  const rest = Buffer.concat(kept);
  return isBare(rest) ? new Uint8Array(0) : new Uint8Array(rest.buffer, rest.byteOffset, rest.length);
}

/** Whether the block is the version alone, which says nothing. */
function isBare(block: Uint8Array): boolean {
  return block.length <= MIN_HEADER_BYTES && latin1Of(block) === `${VERSION}\r\n\r\n`;
}

/**
 * Sets a header: existing ones of the name are removed and the new one becomes the last. Works on an empty block too.
 *
 * @returns a new block.
 */
export function setHeader(block: Uint8Array, name: string, value: string): Uint8Array {
  const rest = removeHeader(block, name);
  const base = rest.length < MIN_HEADER_BYTES ? encoder.encode(`${VERSION}\r\n\r\n`) : rest;
  const line = encoder.encode(`${name}: ${value}\r\n`);
  const result = new Uint8Array(base.length + line.length);
  const end = base.length - 2;
  result.set(base.subarray(0, end));
  result.set(line, end);
  result.set(base.subarray(end), end + line.length);
  return result;
}

/**
 * A block of a status alone, such as 503 for no responders.
 *
 * @param description empty for none.
 */
export function statusHeader(status: number, description = ''): Uint8Array {
  const text = description === '' ? '' : ` ${description}`;
  return encoder.encode(`${VERSION} ${status}${text}\r\n\r\n`);
}

/** The no-responders block: status 503 and the subject nobody listens on (latin1). client-protocol §6. */
export function noRespondersHeader(subject: string): Uint8Array {
  return Buffer.from(`${VERSION} 503\r\nNats-Subject: ${subject}\r\n\r\n`, 'latin1');
}
