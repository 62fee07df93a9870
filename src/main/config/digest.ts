import { createRequire } from 'node:module';
import type { ConfMap, ConfValue } from './conf-value.ts';

/**
 * The digest of a configuration: `sha256:` and the hash of the parsed tree as compact JSON, keys sorted by their bytes, one
 * new line behind. It depends on what the file says and not on how it is laid out, and equals nats-server's.
 */
export function configDigest(tree: ConfMap): string {
  // Loaded with the first file: a start without configuration doesn't wait for it.
  const { createHash } = createRequire(import.meta.url)('node:crypto') as typeof import('node:crypto');
  const hash = createHash('sha256');
  let pending = '';
  writeJson(tree, (text) => {
    pending += text;
    if (pending.length < 65_536) return;
    hash.update(pending);
    pending = '';
  });
  return `sha256:${hash.update(`${pending}\n`).digest('hex')}`;
}

function writeJson(value: ConfValue, write: (text: string) => void): void {
  if (value.kind === 'array') {
    write('[');
    value.values.forEach((element, index) => {
      if (index > 0) write(',');
      writeJson(element, write);
    });
    write(']');
  } else if (value.kind === 'map') {
    write('{');
    const keys = [...value.entries.keys()].sort(compareBytes);
    keys.forEach((key, index) => {
      write(`${index > 0 ? ',' : ''}${jsonString(key)}:`);
      writeJson(value.entries.get(key)!.value, write);
    });
    write('}');
  } else if (value.kind === 'string' || value.kind === 'datetime') {
    write(jsonString(value.value));
  } else {
    write(Object.is(value.value, -0) ? '-0' : String(value.value));
  }
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function jsonString(text: string): string {
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029\ufffd]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
