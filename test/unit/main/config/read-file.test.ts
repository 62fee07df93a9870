import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readSystemFile } from '../../../../src/main/config/read-file.ts';

test('reads bytes', () => {
  const self = fileURLToPath(import.meta.url);
  expect(Buffer.from(readSystemFile(self)).toString()).toContain("test('reads bytes'");
});

test('fails in the words of nats-server', () => {
  expect(() => readSystemFile('/nonexistent/x')).toThrow(
    new Error('open /nonexistent/x: no such file or directory'),
  );
});
