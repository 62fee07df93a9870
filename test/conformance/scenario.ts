/**
 * The vocabulary of conformance scenarios.
 *
 * A scenario is a list of steps over named connections. It holds no expectation: what nats-server answered is the
 * expectation, kept in `transcripts/`. Synchronisation is part of the vocabulary, so that a recording does not depend
 * on timing: after every `send` the sender makes a PING round trip, then every other ready connection makes one, which
 * collects what the step caused to be delivered to it.
 */

export type ConfigName =
  | 'open'
  | 'named'
  | 'limits'
  | 'short-lines'
  | 'accounts'
  | 'defaults'
  | 'single-user'
  | 'token'
  | 'bcrypt'
  | 'auth-timeout'
  | 'max-connections'
  | 'no-connections'
  | 'keepalive'
  | 'no-headers'
  | 'mappings'
  | 'tls'
  | 'tls-verify'
  | 'tls-optional'
  | 'tls-first'
  | 'tls-auto'
  | 'proxy'
  | 'no-auth-user';

export interface Transport {
  kind: 'tcp' | 'tls' | 'tls-first';
  /** Which client certificate to present. */
  certificate?: 'client' | 'stranger';
  /** Bytes before anything else, latin1 (PROXY protocol). */
  preamble?: string;
  /** Do not wait for INFO after connecting. */
  silent?: boolean;
}

export type Step =
  | { kind: 'open'; connection: string; transport: Transport }
  | { kind: 'send'; connection: string; bytes: string; pings: number }
  | { kind: 'raw'; connection: string; bytes: string; bytewise: boolean }
  | { kind: 'nudge' }
  | { kind: 'until'; connection: string; text: string }
  | { kind: 'closed'; connection: string }
  | { kind: 'hang-up'; connection: string };

export interface Scenario {
  name: string;
  config: ConfigName;
  /** Keep the server's own PINGs in the transcript. */
  keepPings: boolean;
  steps: Step[];
}

/** CONNECT with the options most scenarios want: quiet, not pedantic, headers on. */
export function connectLine(fields: Record<string, unknown> = {}): string {
  return `CONNECT ${JSON.stringify({ verbose: false, pedantic: false, protocol: 1, headers: true, ...fields })}\r\n`;
}

/** PUB with the right size. */
export function pub(subject: string, payload = '', reply = ''): string {
  return `PUB ${subject} ${reply === '' ? '' : `${reply} `}${payload.length}\r\n${payload}\r\n`;
}

/** HPUB with the right sizes. */
export function hpub(subject: string, headers: string, payload = '', reply = ''): string {
  const sizes = `${headers.length} ${headers.length + payload.length}`;
  return `HPUB ${subject} ${reply === '' ? '' : `${reply} `}${sizes}\r\n${headers}${payload}\r\n`;
}

/** A header block without status. */
export function headerBlock(...lines: string[]): string {
  return `NATS/1.0\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

export class ScenarioBuilder {
  readonly steps: Step[] = [];
  keepPings = false;

  /** Opens a connection and waits for its INFO. */
  open(connection: string, transport: Transport = { kind: 'tcp' }): this {
    this.steps.push({ kind: 'open', connection, transport });
    return this;
  }

  /** Opens a connection and makes the CONNECT handshake. */
  client(connection: string, fields: Record<string, unknown> = {}, transport?: Transport): this {
    return this.open(connection, transport).send(connection, connectLine(fields));
  }

  /** Sends bytes, then a PING round trip on this and on every other ready connection. */
  send(connection: string, bytes: string, pings = countPings(bytes)): this {
    this.steps.push({ kind: 'send', connection, bytes, pings });
    return this;
  }

  /** Sends bytes and waits for nothing; follow it with `until`, `closed` or `send`. */
  raw(connection: string, bytes: string): this {
    this.steps.push({ kind: 'raw', connection, bytes, bytewise: false });
    return this;
  }

  /** Sends every byte in a write of its own. */
  bytewise(connection: string, bytes: string): this {
    this.steps.push({ kind: 'raw', connection, bytes, bytewise: true });
    return this.send(connection, '', countPings(bytes));
  }

  /** Sends `bytes` in two segments, cut before index `at`. */
  split(connection: string, bytes: string, at: number): this {
    this.raw(connection, bytes.slice(0, at));
    this.steps.push({ kind: 'nudge' });
    return this.send(connection, bytes.slice(at), countPings(bytes));
  }

  /** Waits for a new frame whose text contains `text`. */
  until(connection: string, text: string): this {
    this.steps.push({ kind: 'until', connection, text });
    return this;
  }

  /** Waits for the server to close the connection. */
  closed(connection: string): this {
    this.steps.push({ kind: 'closed', connection });
    return this;
  }

  /** The client closes the connection. */
  hangUp(connection: string): this {
    this.steps.push({ kind: 'hang-up', connection });
    return this;
  }
}

/** PING lines in `bytes`: each one brings a PONG of its own besides the synchronising one. */
function countPings(bytes: string): number {
  return bytes.match(/(?<=^|\n)ping[^\n]*\n/gi)?.length ?? 0;
}

/** Defines a scenario. */
export function scenario(
  name: string,
  config: ConfigName,
  describe: (builder: ScenarioBuilder) => void,
): Scenario {
  const builder = new ScenarioBuilder();
  describe(builder);
  return { name, config, keepPings: builder.keepPings, steps: builder.steps };
}
