import type { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as ws from 'ws';
import {
  BINARY_FRAME,
  COMPRESSED_FRAME,
  cutIntoFrames,
  FrameReader,
  type FrameSink,
  FrameState,
  frame,
  PONG_FRAME,
  unmask,
} from '../../../../../src/shared/protocol/websocket/frames.ts';
import { clientFrame, type FrameOptions, ServerFrameReader } from '../../../../support/websocket-frames.ts';

/** Its types leave it out. */
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

/** Collects what comes out of the reader. */
class Recorder implements FrameSink<null> {
  stream = '';
  messages: string[] = [];
  controls: [number, string][] = [];
  problem = '';
  stopAfter = Number.POSITIVE_INFINITY;
  #message = '';

  #goesOn(): boolean {
    return --this.stopAfter > 0;
  }

  payload(_connection: null, bytes: Uint8Array, start: number, end: number): boolean {
    this.stream += Buffer.from(bytes.subarray(start, end)).toString('latin1');
    return this.#goesOn();
  }

  compressed(_connection: null, bytes: Uint8Array, start: number, end: number, isLast: boolean): boolean {
    this.#message += Buffer.from(bytes.subarray(start, end)).toString('latin1');
    if (isLast) {
      this.messages.push(this.#message);
      this.#message = '';
    }
    return this.#goesOn();
  }

  control(_connection: null, opcode: number, payload: Uint8Array): boolean {
    this.controls.push([opcode, Buffer.from(payload).toString('latin1')]);
    return this.#goesOn();
  }

  violated(_connection: null, problem: string): void {
    this.problem = problem;
  }
}

interface ReadOptions {
  compression?: boolean;
  unmasked?: boolean;
  /** Sizes of the pieces it arrives in; the rest comes in one. */
  cuts?: readonly number[];
  recorder?: Recorder;
}

/** Feeds bytes in pieces, each at an odd place of a larger buffer, as the shard's region is. */
function read(input: Uint8Array, options: ReadOptions = {}): Recorder {
  const { compression = false, unmasked = false, cuts = [], recorder = new Recorder() } = options;
  const reader = new FrameReader<null>(recorder);
  const state = new FrameState(compression, unmasked);
  const region = new Uint8Array(input.length + 64);
  const view = new DataView(region.buffer);
  let done = 0;
  for (const size of [...cuts, input.length]) {
    let piece = input.subarray(done, Math.min(done + size, input.length));
    done += piece.length;
    while (piece.length > 0 && recorder.problem === '') {
      const start = 7;
      region.set(piece, start);
      const at = reader.read(null, state, region, view, start, start + piece.length);
      if (recorder.problem !== '') return recorder;
      // What it stopped in front of must be as it came.
      expect([...region.subarray(at, start + piece.length)]).toEqual([...piece.subarray(at - start)]);
      piece = piece.slice(at - start);
    }
  }
  return recorder;
}

describe('frames of a client', () => {
  test.each([0, 1, 2, 3, 4, 15, 16, 17, 125, 126, 127, 128, 65535, 65536])('payload of %i bytes', (size) => {
    const payload = Buffer.alloc(size, 'abcdefghijk').toString('latin1');
    const two = Buffer.concat([clientFrame(payload), clientFrame('PING\r\n', { opcode: 1 })]);
    expect(read(two).stream).toBe(`${payload}PING\r\n`);
  });

  test.each([16, 64] as const)('a length wider than necessary, %i bits', (width) => {
    expect(read(clientFrame('abc', { width })).stream).toBe('abc');
  });

  test('fragments and control frames in between', () => {
    const input = Buffer.concat([
      clientFrame('PU', { fin: false }),
      clientFrame('x', { opcode: 9 }),
      clientFrame('', { opcode: 0, fin: false }),
      clientFrame('B', { opcode: 0, fin: false }),
      clientFrame('', { opcode: 10 }),
      clientFrame(' a', { opcode: 0 }),
    ]);
    const recorder = read(input);
    expect(recorder.stream).toBe('PUB a');
    expect(recorder.controls).toEqual([
      [9, 'x'],
      [10, ''],
    ]);
  });

  test.each([1, 2, 3, 5, 7])('in pieces of %i bytes', (size) => {
    const input = Buffer.concat([
      clientFrame('x'.repeat(300)),
      clientFrame('ping', { opcode: 9 }),
      clientFrame('', { opcode: 9 }),
      clientFrame('yz'),
    ]);
    const recorder = read(input, { cuts: new Array<number>(input.length).fill(size) });
    expect(recorder.stream).toBe(`${'x'.repeat(300)}yz`);
    expect(recorder.controls).toEqual([
      [9, 'ping'],
      [9, ''],
    ]);
  });

  test('stops where the sink says so, and goes on there', () => {
    const recorder = new Recorder();
    recorder.stopAfter = 1;
    const input = Buffer.concat([clientFrame('a'), clientFrame('b', { opcode: 9 }), clientFrame('c')]);
    expect(read(input, { recorder }).stream).toBe('ac');
    expect(recorder.controls).toEqual([[9, 'b']]);
  });

  test('a frame of 2^62 bytes is not waited for', () => {
    expect(read(clientFrame('abc', { length: 2n ** 62n })).stream).toBe('abc');
  });

  test('without masks, when that was agreed on', () => {
    const input = Buffer.concat([
      clientFrame('abc', { masked: false }),
      clientFrame('de', { masked: false }),
    ]);
    expect(read(input, { unmasked: true }).stream).toBe('abcde');
  });

  test('compressed messages are handed over with their end', () => {
    const input = Buffer.concat([
      clientFrame('one', { reserved: 0x40 }),
      clientFrame('tw', { reserved: 0x40, fin: false }),
      clientFrame('o', { opcode: 0, fin: false }),
      clientFrame('', { opcode: 0 }),
      clientFrame('plain'),
      clientFrame('', { reserved: 0x40 }),
    ]);
    const recorder = read(input, { compression: true });
    expect(recorder.messages).toEqual(['one', 'two', '']);
    expect(recorder.stream).toBe('plain');
  });
});

describe('violations, as nats-server words them', () => {
  const text = 'x'.repeat(126);
  test.each<[string, Buffer, string]>([
    ['RSV2', clientFrame('a', { reserved: 0x20 }), 'RSV2 and RSV3 must be clear'],
    ['RSV3', clientFrame('a', { reserved: 0x10 }), 'RSV2 and RSV3 must be clear'],
    [
      'RSV1',
      clientFrame('a', { reserved: 0x40 }),
      'compressed frame received without negotiated permessage-deflate',
    ],
    ['no mask', clientFrame('a', { masked: false }), 'mask bit missing'],
    [
      'long ping',
      clientFrame(text, { opcode: 9 }),
      'control frame length bigger than maximum allowed of 125 bytes',
    ],
    ['cut ping', clientFrame('a', { opcode: 9, fin: false }), 'control frame does not have final bit set'],
    [
      'message in a message',
      Buffer.concat([clientFrame('a', { fin: false }), clientFrame('b')]),
      'new message started before final frame for previous message was received',
    ],
    ['continuation of nothing', clientFrame('a', { opcode: 0 }), 'invalid continuation frame'],
    [
      'continuation after the end',
      Buffer.concat([clientFrame('a'), clientFrame('b', { opcode: 0 })]),
      'invalid continuation frame',
    ],
    ['length', clientFrame('', { length: 2n ** 63n }), 'invalid 64-bit payload length'],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, Buffer, string] => [
      `opcode ${opcode}`,
      clientFrame('a', { opcode }),
      `unknown opcode ${opcode}`,
    ]),
  ])('%s', (_name, input, problem) => {
    expect(read(input).problem).toBe(problem);
    expect(read(input, { cuts: new Array<number>(input.length).fill(1) }).problem).toBe(problem);
  });

  test.each<[string, FrameOptions, string]>([
    ['ping', { opcode: 9, reserved: 0x40 }, 'control frame must not be compressed'],
    ['continuation', { opcode: 0, reserved: 0x40 }, 'invalid continuation frame'],
  ])('a compressed %s', (_name, options, problem) => {
    const input = Buffer.concat([
      clientFrame('a', { fin: false, reserved: 0x40 }),
      clientFrame('b', options),
    ]);
    expect(read(input, { compression: true }).problem).toBe(problem);
  });
});

test('unmasking equals the definition, wherever it starts and is cut', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)),
      fc.nat(80),
      fc.nat(5),
      (payload, key, cut, offset) => {
        const bytes = new Uint8Array(offset + payload.length);
        bytes.set(payload, offset);
        const view = new DataView(bytes.buffer);
        const middle = Math.min(cut, payload.length);
        let mask = key[0] | (key[1] << 8) | (key[2] << 16) | (key[3] << 24);
        mask = unmask(bytes, view, offset, offset + middle, mask);
        unmask(bytes, view, offset + middle, bytes.length, mask);
        expect([...bytes.subarray(offset)]).toEqual([...payload].map((byte, i) => byte ^ key[i & 3]!));
      },
    ),
    { seed: 20_167 },
  );
});

test('any input is taken in or refused, however it is cut', () => {
  const piece = fc.oneof(
    { weight: 3, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    {
      weight: 7,
      arbitrary: fc
        .record({
          payload: fc.uint8Array({ maxLength: 200 }),
          opcode: fc.constantFrom(0, 1, 2, 2, 2, 8, 9, 10, 3),
          fin: fc.boolean(),
          reserved: fc.constantFrom(0, 0, 0, 0x40),
        })
        .map(({ payload, ...options }) => new Uint8Array(clientFrame(payload, options))),
    },
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 }),
      fc.boolean(),
      (pieces, cuts, compression) => {
        const input = Buffer.concat(pieces);
        const whole = read(input, { compression });
        const cut = read(input, { compression, cuts });
        expect([cut.stream, cut.messages, cut.controls, cut.problem]).toEqual([
          whole.stream,
          whole.messages,
          whole.controls,
          whole.problem,
        ]);
      },
    ),
    { seed: 20_168, numRuns: 500 },
  );
});

test('what ws accepts of a client, the reader accepts with the same bytes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.boolean()), { minLength: 1, maxLength: 8 }),
      async (parts) => {
        const frames = parts.map(([payload, fin], i) => {
          const isFirst = i === 0 || parts[i - 1]![1];
          return clientFrame(payload, { opcode: isFirst ? 2 : 0, fin: fin || i === parts.length - 1 });
        });
        const receiver = new Receiver({ isServer: true });
        let expected = '';
        receiver.on('message', (data: Buffer) => {
          expected += data.toString('latin1');
        });
        const input = Buffer.concat(frames);
        await new Promise<void>((resolve, reject) => {
          receiver.once('error', reject);
          receiver.write(Buffer.from(input), () => resolve());
        });
        expect(read(input).stream).toBe(expected);
      },
    ),
    { seed: 20_169, numRuns: 50 },
  );
});

describe('frames of the server', () => {
  test.each([0, 1, 125, 126, 65535, 65536, 70000])('payload of %i bytes', (size) => {
    const payload = Buffer.alloc(size, 'xyz');
    const [only, ...more] = new ServerFrameReader().push(Buffer.from(frame(BINARY_FRAME, payload)));
    expect(more).toEqual([]);
    expect(only).toEqual({ opcode: 2, fin: true, reserved: 0, masked: false, payload });
  });

  test('pongs', () => {
    expect([...frame(PONG_FRAME, Uint8Array.of(1, 2))]).toEqual([0x8a, 2, 1, 2]);
  });

  test('messages of their own for browsers', () => {
    const payload = Buffer.alloc(9000, 'abc');
    const frames = new ServerFrameReader().push(
      Buffer.from(cutIntoFrames(payload, 4096, BINARY_FRAME, false)),
    );
    expect(frames.map(({ opcode, fin, payload: part }) => [opcode, fin, part.length])).toEqual([
      [2, true, 4096],
      [2, true, 4096],
      [2, true, 808],
    ]);
    expect(Buffer.concat(frames.map((part) => part.payload))).toEqual(payload);
  });

  test('fragments of one compressed message', () => {
    const frames = new ServerFrameReader().push(
      Buffer.from(cutIntoFrames(Buffer.alloc(9000), 4096, COMPRESSED_FRAME, true)),
    );
    expect(frames.map(({ opcode, fin, reserved }) => [opcode, fin, reserved])).toEqual([
      [2, false, 0x40],
      [0, false, 0],
      [0, true, 0],
    ]);
  });
});
