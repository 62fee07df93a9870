import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { buildSync } from 'esbuild';
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
    expect(device.text).toBe('');
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
    const { write } = device;
    await new Promise<void>((resolve) => {
      const writer = new FdWriter(99, {
        lossLine: () => '',
        write: (fd, bytes, offset) => {
          const taken = write(fd, bytes, offset);
          resolve();
          return taken;
        },
      });
      writer.writeLine('late\n');
    });
    expect(device.text).toBe('late\n');
  });
});

describe('stderr of a process', () => {
  const LINES = 3000;
  const script = `
    import { createLogger } from './src/main/log/create-logger.ts';
    const logger = await createLogger({ file: '', format: 'text', logTime: false, remoteSyslog: '' }, { pid: 5 });
    for (let i = 0; i < ${LINES}; i++) logger.notice('line ' + i + ' ' + 'x'.repeat(100));
    process.stdout.write('written');
    process.stdin.once('data', () => {
      logger.fatal('the end');
      process.exit(1);
    });
  `;

  test('a reader that sleeps neither blocks it nor loses its lines', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-log-'));
    const scriptFile = join(directory, 'script.mjs');
    buildSync({
      stdin: { contents: script, resolveDir: process.cwd(), loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      outfile: scriptFile,
    });
    // Through a shell, so that stderr is a pipe (Node gives its children sockets), read only on command.
    const command = '"$0" "$1" 2>&1 >&3 | { read -r go <&4; cat; }';
    const child = spawn('sh', ['-c', command, process.execPath, scriptFile], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout!.on('data', (chunk) => {
      output += chunk;
    });
    await once(child.stdio[3]!, 'data');
    expect(output).toBe('');
    child.stdin!.write('now\n');
    (child.stdio[4] as Writable).write('go\n');
    await once(child, 'close');
    rmSync(directory, { recursive: true });
    const lines = output.trimEnd().split('\n');
    expect(lines).toHaveLength(LINES + 1);
    expect(lines.at(-1)).toBe('[5] [FTL] the end');
  });
});
