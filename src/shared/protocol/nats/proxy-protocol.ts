/**
 * The header that a load balancer puts in front of a connection to tell whom it forwards: HAProxy's PROXY protocol,
 * versions 1 (a text line) and 2 (binary). client-protocol §13.
 *
 * ```
 *   v1   PROXY TCP4 <source> <destination> <source port> <destination port>\r\n      at most 107 bytes
 *   v2   signature (12) | version and command (1) | family and transport (1) | length (2, big endian) | addresses, TLVs
 * ```
 *
 * Bytes come in pieces. As soon as they can be the beginning of neither version the connection is an unproxied one and
 * gets them back, so it does not have to send a minimum before it is answered.
 */
import { isIPv4, isIPv6 } from '../../base/ip-address.ts';

/** What is known after a piece. `rest` are the bytes behind the header (all bytes when there is none). */
export type ProxyHeaderResult =
  | { kind: 'more' }
  | { kind: 'proxied'; address: string; port: number; rest: Uint8Array }
  /** No header, or one that names nobody (`UNKNOWN`, `LOCAL`): the peer's own address holds. */
  | { kind: 'direct'; rest: Uint8Array }
  | { kind: 'error'; reason: string };

const V1_PREFIX = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Longest line of version 1, CRLF included. */
const V1_MAX_BYTES = 107;
const V2_HEAD_BYTES = 16;
/** From here on a first byte sequence that departs from the signature is a broken header, not another protocol. */
const V2_COMMIT_BYTES = 6;

const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const TRANSPORT_STREAM = 1;
const FAMILY_UNSPEC = 0x00;
const FAMILY_INET = 0x10;
const FAMILY_INET6 = 0x20;
const INET_BYTES = 12;
const INET6_BYTES = 36;

const MORE: ProxyHeaderResult = { kind: 'more' };

function failed(reason: string): ProxyHeaderResult {
  return { kind: 'error', reason };
}

function invalidHeader(detail: string): ProxyHeaderResult {
  return failed(`invalid PROXY protocol header: ${detail}`);
}

function unsupported(detail: string): ProxyHeaderResult {
  return failed(`unsupported PROXY protocol feature: ${detail}`);
}

/** Number of bytes in which the beginnings of both agree. */
function commonBytes(bytes: Buffer, expected: Buffer): number {
  const length = Math.min(bytes.length, expected.length);
  let at = 0;
  while (at < length && bytes[at] === expected[at]) at++;
  return at;
}

/** Parses one header; feed it with what the connection sends until the result is no longer `more`. */
export class ProxyProtocolParser {
  #bytes: Buffer = Buffer.alloc(0);

  /** Takes the next bytes of the connection. They are copied only when more are needed. */
  push(chunk: Uint8Array): ProxyHeaderResult {
    const piece = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#bytes = this.#bytes.length === 0 ? piece : Buffer.concat([this.#bytes, piece]);
    const result = parse(this.#bytes);
    if (result.kind === 'more' && this.#bytes === piece) this.#bytes = Buffer.from(piece);
    return result;
  }
}

function parse(bytes: Buffer): ProxyHeaderResult {
  const v1 = commonBytes(bytes, V1_PREFIX);
  if (v1 === V1_PREFIX.length) return parseLine(bytes);
  const v2 = commonBytes(bytes, V2_SIGNATURE);
  if (v2 === V2_SIGNATURE.length) return parseBinary(bytes);
  if (v1 === bytes.length || v2 === bytes.length) return MORE;
  return v2 < V2_COMMIT_BYTES ? { kind: 'direct', rest: bytes } : invalidHeader('invalid signature');
}

function parseLine(bytes: Buffer): ProxyHeaderResult {
  const end = bytes.indexOf('\r\n', 0, 'latin1');
  if (end === -1 ? bytes.length >= V1_MAX_BYTES : end + 2 > V1_MAX_BYTES)
    return invalidHeader('v1 line too long');
  if (end === -1) return MORE;
  const rest = bytes.subarray(end + 2);
  const fields = bytes
    .toString('latin1', V1_PREFIX.length, end)
    .split(/\s+/)
    .filter((field) => field !== '');
  if (fields[0] === 'UNKNOWN') return { kind: 'direct', rest };
  if (fields.length !== 5) return invalidHeader('invalid v1 format');
  const [protocol, source, destination, sourcePort, destinationPort] = fields as [
    string,
    string,
    string,
    string,
    string,
  ];
  const problem = lineProblem(protocol, [source, destination], [sourcePort, destinationPort]);
  return problem ?? { kind: 'proxied', address: canonicalAddress(source), port: Number(sourcePort), rest };
}

function lineProblem(
  protocol: string,
  addresses: readonly string[],
  ports: readonly [string, string],
): ProxyHeaderResult | null {
  for (const [name, port] of [
    ['source', ports[0]],
    ['dest', ports[1]],
  ] as const) {
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
      return failed(`invalid ${name} port: ${JSON.stringify(port)}`);
  }
  // A zone (`%eth0`) names an interface of another machine.
  if (addresses.some((address) => !isIPv4(address) && (!isIPv6(address) || address.includes('%')))) {
    return invalidHeader('invalid address');
  }
  const inet6 = addresses.map((address) => address.includes(':'));
  if (protocol === 'TCP4') return inet6.includes(true) ? invalidHeader('TCP4 with IPv6 address') : null;
  if (protocol === 'TCP6') return inet6.includes(false) ? invalidHeader('TCP6 with IPv4 address') : null;
  return invalidHeader(`invalid protocol ${protocol}`);
}

/** The shortest text of an address; an IPv4 address in IPv6 clothes is shown as the IPv4 address it is. */
function canonicalAddress(address: string): string {
  return address.includes(':') ? inet6Text(inet6Bytes(address)) : address;
}

/** The bytes of a valid IPv6 address. */
function inet6Bytes(address: string): Buffer {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  let text = address;
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(1).map(Number) as [number, number, number, number];
    const groups = [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16));
    text = address.slice(0, dotted.index) + groups.join(':');
  }
  const [head = '', tail] = text.split('::');
  const groupsOf = (part: string | undefined): string[] => (part ? part.split(':') : []);
  const front = groupsOf(head);
  const back = groupsOf(tail);
  const bytes = Buffer.alloc(16);
  for (const [at, group] of front.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), at * 2);
  const backStart = 8 - back.length;
  for (const [at, group] of back.entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), (backStart + at) * 2);
  return bytes;
}

function parseBinary(bytes: Buffer): ProxyHeaderResult {
  if (bytes.length < V2_HEAD_BYTES) return MORE;
  const versionAndCommand = bytes[12]!;
  const familyAndTransport = bytes[13]!;
  const length = bytes.readUInt16BE(14);
  const version = versionAndCommand & 0xf0;
  const command = versionAndCommand & 0x0f;
  if (version !== 0x20) return invalidHeader(`invalid version 0x${version.toString(16).padStart(2, '0')}`);
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) {
    return failed(`unknown PROXY protocol command: 0x${command.toString(16).padStart(2, '0')}`);
  }
  if (bytes.length < V2_HEAD_BYTES + length) return MORE;
  const rest = bytes.subarray(V2_HEAD_BYTES + length);
  if (command === COMMAND_LOCAL) return { kind: 'direct', rest };
  if ((familyAndTransport & 0x0f) !== TRANSPORT_STREAM) return unsupported('only STREAM protocol supported');
  return parseAddresses(
    familyAndTransport & 0xf0,
    bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + length),
    rest,
  );
}

function parseAddresses(family: number, body: Buffer, rest: Uint8Array): ProxyHeaderResult {
  switch (family) {
    case FAMILY_UNSPEC:
      return { kind: 'direct', rest };
    case FAMILY_INET:
      if (body.length < INET_BYTES) return failed(`IPv4 address data too short: ${body.length} bytes`);
      return { kind: 'proxied', address: body.subarray(0, 4).join('.'), port: body.readUInt16BE(8), rest };
    case FAMILY_INET6:
      if (body.length < INET6_BYTES) return failed(`IPv6 address data too short: ${body.length} bytes`);
      return { kind: 'proxied', address: inet6Text(body.subarray(0, 16)), port: body.readUInt16BE(32), rest };
    default:
      return unsupported(`unsupported address family 0x${family.toString(16)}`);
  }
}

/** The text of an IPv6 address as RFC 5952 has it: the longest run of zero groups is `::`. */
function inet6Text(bytes: Buffer): string {
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return bytes.subarray(12).join('.');
  let start = -1;
  let length = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) {
      start = at;
      length = end - at;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (start === -1) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}
