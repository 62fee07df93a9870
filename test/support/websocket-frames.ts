/** Frames as a client sends them, byte for byte as a test wants them, and the server's taken apart. */

export interface FrameOptions {
  opcode?: number;
  fin?: boolean;
  /** Reserved bits, as in the first byte: 0x40, 0x20, 0x10. */
  reserved?: number;
  masked?: boolean;
  key?: readonly [number, number, number, number];
  /** Announced length, when it isn't the payload's. */
  length?: number | bigint;
  /** Width of the length field in bits; the shortest otherwise. */
  width?: 7 | 16 | 64;
}

/** A frame of a client. */
export function clientFrame(payload: string | Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = 2, fin = true, reserved = 0, masked = true, key = [0x12, 0x34, 0x56, 0x78] } = options;
  const bytes = Buffer.from(typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload);
  const length = BigInt(options.length ?? bytes.length);
  const width = options.width ?? (length < 126n ? 7 : length < 65536n ? 16 : 64);
  const header = Buffer.alloc(2 + (width === 7 ? 0 : width / 8));
  header[0] = (fin ? 0x80 : 0) | reserved | opcode;
  header[1] = (masked ? 0x80 : 0) | (width === 7 ? Number(length) : width === 16 ? 126 : 127);
  if (width === 16) header.writeUInt16BE(Number(length), 2);
  if (width === 64) header.writeBigUInt64BE(length, 2);
  if (!masked) return Buffer.concat([header, bytes]);
  for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i]! ^ key[i & 3]!;
  return Buffer.concat([header, Buffer.from(key), bytes]);
}

/** A frame of the server. */
export interface ServerFrame {
  opcode: number;
  fin: boolean;
  reserved: number;
  masked: boolean;
  payload: Buffer;
}

/** Takes the server's bytes apart; what is incomplete stays. */
export class ServerFrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): ServerFrame[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames: ServerFrame[] = [];
    for (;;) {
      const frame = this.#next();
      if (frame === null) return frames;
      frames.push(frame);
    }
  }

  #next(): ServerFrame | null {
    const rest = this.#rest;
    if (rest.length < 2) return null;
    const short = rest[1]! & 0x7f;
    const head = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (rest.length < head) return null;
    const length =
      short === 127 ? Number(rest.readBigUInt64BE(2)) : short === 126 ? rest.readUInt16BE(2) : short;
    if (rest.length < head + length) return null;
    this.#rest = rest.subarray(head + length);
    return {
      opcode: rest[0]! & 0x0f,
      fin: (rest[0]! & 0x80) !== 0,
      reserved: rest[0]! & 0x70,
      masked: (rest[1]! & 0x80) !== 0,
      payload: rest.subarray(head, head + length),
    };
  }
}
