/** A headless Chromium with a page of its own, where one is installed. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

const CANDIDATES = [process.env.CHROMIUM ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser'];

/** Path of the browser, `null` without one. */
export const CHROMIUM = CANDIDATES.find((path) => path !== '' && existsSync(path)) ?? null;

/** What the page's script leaves in `globalThis.nats`. */
const SCRIPT = `export * from '@nats-io/nats-core';`;

export class BrowserPage {
  readonly page: Page;
  readonly origin: string;
  readonly #context: BrowserContext;
  readonly #server: Server;
  readonly #profile: string;

  private constructor(page: Page, origin: string, context: BrowserContext, server: Server, profile: string) {
    this.page = page;
    this.origin = origin;
    this.#context = context;
    this.#server = server;
    this.#profile = profile;
  }

  /** Serves a page that has the NATS client, and opens it. */
  static async open(): Promise<BrowserPage> {
    const bundle = await build({
      stdin: { contents: SCRIPT, resolveDir: process.cwd() },
      bundle: true,
      format: 'iife',
      globalName: 'nats',
      platform: 'browser',
      write: false,
      logLevel: 'silent',
    });
    const script = bundle.outputFiles[0]!.text;
    const server = createServer((request, response) => {
      const isScript = request.url === '/nats.js';
      response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? script : '<!doctype html><title>natsd</title><script src="/nats.js"></script>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const profile = mkdtempSync(join(tmpdir(), 'natsd-chromium-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM!,
      headless: true,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    const page = await context.newPage();
    await page.goto(origin);
    return new BrowserPage(page, origin, context, server, profile);
  }

  async close(): Promise<void> {
    await this.#context.close();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.#profile, { recursive: true, force: true });
  }
}
