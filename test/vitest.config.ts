import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores: more parallel files only make daemons starve each other.
    pool: 'forks',
    maxWorkers: 2,
    // Longer than any guard in the tests (support/waiting.ts), whose failures tell more.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
