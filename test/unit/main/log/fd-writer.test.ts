import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { FdWriter } from '../../../../src/main/log/fd-writer.ts';

/** A device whose next calls are scripted: a number of bytes to take, or an error code. */
class ScriptedDevice {
  text = '';
  readonly script: (number | string)[];

  constructor(...script: (number | string)[]) {
    this.script = script;
  }

  readonly write = (_fd: number, bytes: Buffer, offset: number): number => {
    const step = this.script.shift() ?? Number.POSITIVE_INFINITY;
    if (typeof step === 'string') throw Object.assign(new Error(step), { code: step });
    const taken = Math.min(step, bytes.length - offset);
    this.text += bytes.toString('latin1', offset, offset + taken);
    return taken;
  };
}

function writerOn(device: ScriptedDevice, maxQueuedBytes = 1000): FdWriter {
  return new FdWriter(99, {
    write: device.write,
    maxQueuedBytes,
    lossLine: (lines, reason) => `lost ${lines}: ${reason}\n`,
  });
}

describe('writing lines', () => {
  test('goes on after partial writes and interruptions', () => {
    const device = new ScriptedDevice(2, 'EINTR', 1);
    expect(writerOn(device).writeLine('hello\n')).toBe(6);
    expect(device.text).toBe('hello\n');
  });

  test('a full disk loses lines, never the server, and is reported once it works again', () => {
    const device = new ScriptedDevice('ENOSPC', 'ENOSPC', 'ENOSPC');
    const writer = writerOn(device);
    for (const line of ['a\n', 'b\n', 'c\n']) writer.writeLine(line);
    expect([device.text, writer.unreportedLoss]).toEqual(['', 3]);
    writer.writeLine('d\n');
    writer.writeLine('e\n');
    expect(device.text).toBe('lost 3: no space left on device\nd\ne\n');
  });

  test('a line torn by an error ends before the next begins', () => {
    const device = new ScriptedDevice(2, 'ENOSPC');
    const writer = writerOn(device);
    writer.writeLine('hello\n');
    writer.writeLine('next\n');
    expect(device.text).toBe('he\nlost 1: no space left on device\nnext\n');
  });

  test('a reader that sleeps delays lines in order', () => {
    const device = new ScriptedDevice(3, 'EAGAIN');
    const writer = writerOn(device);
    for (const line of ['hello\n', 'b\n', 'c\n']) writer.writeLine(line);
    expect(device.text).toBe('hel');
    writer.flushSync();
    expect(device.text).toBe('hello\nb\nc\n');
    writer.writeLine('d\n');
    expect(device.text).toBe('hello\nb\nc\nd\n');
  });

  test('flushing insists while the reader wakes up', () => {
    const device = new ScriptedDevice('EAGAIN', 'EAGAIN', 'EAGAIN', 1, 'EAGAIN');
    const writer = writerOn(device);
    writer.writeLine('xy\n');
    writer.flushSync();
    expect(device.text).toBe('xy\n');
  });

  test('a queue at its bound drops lines and says so', () => {
    const device = new ScriptedDevice('EAGAIN');
    const writer = writerOn(device, 8);
    for (const line of ['1234\n', '56\n', '789\n']) writer.writeLine(line);
    writer.flushSync();
    writer.writeLine('end\n');
    expect(device.text).toBe('1234\n56\nlost 1: the reader of the log is too slow\nend\n');
  });

  test('queued lines leave by themselves when the reader wakes up', async () => {
    const device = new ScriptedDevice('EAGAIN');
    const writer = writerOn(device);
    writer.writeLine('late\n');
    const { promise, resolve } = Promise.withResolvers<void>();
    const { write } = device;
    Object.assign(device, { write });
    const poll = setInterval(() => {
      if (device.text === 'late\n') resolve();
    }, 1);
    await promise;
    clearInterval(poll);
    expect(writer.unreportedLoss).toBe(0);
  });
});

describe('stderr of a process', () => {
  const LINES = 3000;
  const script = `
    const { createLogger } = await import(${JSON.stringify(new URL('../../../../src/main/log/create-logger.ts', import.meta.url).href)});
    const options = { file: '', format: 'text', logTime: false, logTimeUtc: false, sizeLimitBytes: 0, maxNum: 0,
      syslog: false, remoteSyslog: '', debug: false, trace: false };
    const logger = await createLogger(options, { pid: 5 });
    for (let i = 0; i < ${LINES}; i++) logger.notice('line ' + i + ' ' + 'x'.repeat(100));
    process.stdout.write('written');
    process.stdin.once('data', () => {
      logger.fatal('the end');
      process.exit(1);
    });
  `;

  test.skipIf(!process.features.typescript && !process.execArgv.includes('--experimental-strip-types'))(
    'a reader that sleeps neither blocks it nor loses its lines',
    async () => {
      // Through `cat`, so that stderr is a pipe: Node gives its children sockets.
      const child = spawn(
        'sh',
        ['-c', '"$0" --input-type=module -e "$1" 2>&1 >&3 | { read -r go <&4; cat; }', process.execPath, script],
        { stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'] },
      );
      let output = '';
      child.stdout?.on('data', (chunk) => {
        output += chunk;
      });
      await once(child.stdio[3] as NodeJS.ReadableStream, 'data');
      expect(output).toBe('');
      (child.stdio[4] as NodeJS.WritableStream).write('go\n');
      child.stdin?.write('now\n');
      await once(child, 'close');
      const lines = output.trimEnd().split('\n');
      expect(lines).toHaveLength(LINES + 1);
      expect(lines.at(-1)).toBe('[5] [FTL] the end');
    },
  );
});
