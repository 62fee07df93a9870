import { latin1 } from '../../base/latin1.ts';

/**
 * The head of an HTTP/1 request, as much of it as an upgrade needs (RFC 9112).
 *
 * Strict where leniency would let two parties read one request differently: no folded lines, no blanks in front of a
 * colon, no control characters.
 */

export class HttpHeaders {
  readonly #values = new Map<string, string[]>();

  add(name: string, value: string): void {
    const lower = name.toLowerCase();
    const values = this.#values.get(lower);
    if (values === undefined) this.#values.set(lower, [value]);
    else values.push(value);
  }

  /** @param name in lower case */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** @returns '' when there is no such header */
  first(name: string): string {
    return this.#values.get(name)?.[0] ?? '';
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }
}

export interface HttpRequest {
  method: string;
  /** Without query. */
  path: string;
  minorVersion: number;
  headers: HttpHeaders;
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.([01])$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are refused.
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)$/;
const LF = 0x0a;
const CR = 0x0d;

/** Where the head of a request in `bytes[0, end)` ends, its blank line included; -1: not yet. */
export function headEnd(bytes: Uint8Array, end: number): number {
  for (let at = bytes.indexOf(LF); at >= 0 && at < end; at = bytes.indexOf(LF, at + 1)) {
    if (at + 1 < end && bytes[at + 1] === LF) return at + 2;
    if (at + 2 < end && bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

/** Parses `bytes[0, end)`, a whole head. @returns `null` when it is none */
export function parseRequest(bytes: Uint8Array, end: number): HttpRequest | null {
  const lines = latin1(bytes, 0, end).split(/\r?\n/);
  const match = REQUEST_LINE.exec(lines[0]!);
  if (match === null) return null;
  const headers = new HttpHeaders();
  for (let line = 1; line < lines.length; line++) {
    const text = lines[line]!;
    if (text === '') break;
    const field = HEADER_LINE.exec(text);
    if (field === null) return null;
    headers.add(field[1]!, field[2]!.trimEnd());
  }
  const target = match[2]!;
  const query = target.search(/[?#]/);
  return {
    method: match[1]!,
    path: query < 0 ? target : target.slice(0, query),
    minorVersion: Number(match[3]),
    headers,
  };
}
