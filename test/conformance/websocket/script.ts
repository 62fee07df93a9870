/**
 * The vocabulary of WebSocket scenarios: requests for an upgrade, and frames. What nats-server answered is the expectation, kept in
 * `transcripts/`. After every step that sends frames the sender makes a PING round trip, unless the server closes instead.
 */
import type { FrameOptions } from '../../support/websocket-frames.ts';

export type WebsocketConfigName =
  | 'plain'
  | 'origins'
  | 'same-origin'
  | 'headers'
  | 'compression'
  | 'limits'
  | 'user'
  | 'auth-timeout'
  | 'guest'
  | 'keepalive';

export interface Request {
  method?: string;
  path?: string;
  version?: string;
  /** Added to those of an upgrade; `null` leaves one of them out. */
  headers?: Record<string, string | null>;
  /** Sent together with the request. */
  behind?: string;
}

export interface ScriptFrame extends FrameOptions {
  payload?: string | number[];
  /** The payload is to be compressed, and RSV1 set. */
  deflated?: boolean;
}

export type WebsocketStep =
  | { kind: 'request'; connection: string; request: Request }
  /** @property closes there is no round trip: the server ends the connection, and would lose what it sent to one that goes on */
  | { kind: 'frames'; connection: string; frames: ScriptFrame[]; closes: boolean }
  /** Sends nothing and waits until the server closes. */
  | { kind: 'closed'; connection: string };

export interface WebsocketScenario {
  name: string;
  config: WebsocketConfigName;
  /** Close frames are not compared: nats-server loses them at times (websocket.md §4.1). */
  losesClose: boolean;
  /** The built-in transport alone can do it. */
  builtIn: boolean;
  steps: WebsocketStep[];
}

const CONFIGURATIONS: Record<WebsocketConfigName, [block: string, rest: string]> = {
  plain: ['', ''],
  origins: ['allowed_origins: ["http://b.com", "https://c.com:8443"]', ''],
  'same-origin': ['same_origin: true', ''],
  headers: ['headers { X-One: "1", x-two: "a b" }', ''],
  compression: ['compression: true', 'max_payload: 65536'],
  limits: ['', 'max_payload: 1000\nmax_control_line: 512\nmax_subscriptions: 2'],
  user: ['authorization { user: web, password: pw }, user_cookie: "u", pass_cookie: "p"', ''],
  'auth-timeout': ['authorization { user: web, password: pw, timeout: 0.3 }', ''],
  guest: [
    'no_auth_user: guest',
    'authorization { users: [ { user: guest, password: pw, permissions: { publish: "g.>" } }, { user: tcp, password: pw, allowed_connection_types: [STANDARD] } ] }',
  ],
  keepalive: ['ping_interval: "200ms"', 'ping_max: 1'],
};

/** Text of the configuration file. @param transport natsd's own option; '' leaves it out */
export function websocketConfiguration(name: WebsocketConfigName, transport = ''): string {
  const [block, rest] = CONFIGURATIONS[name];
  const own = transport === '' ? '' : `transport: ${transport}`;
  return `websocket { listen: "127.0.0.1:-1", no_tls: true\n${own}\n${block}\n}\n${rest}\n`;
}

export class WebsocketScript {
  readonly steps: WebsocketStep[] = [];

  /** Asks for an upgrade, on a connection that is made if it isn't there. */
  request(connection: string, request: Request = {}): this {
    this.steps.push({ kind: 'request', connection, request });
    return this;
  }

  /** An upgrade and CONNECT. */
  client(
    connection: string,
    fields: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ): this {
    const text = JSON.stringify({ verbose: false, pedantic: false, protocol: 1, headers: true, ...fields });
    return this.request(connection, { headers }).frames(connection, { payload: `CONNECT ${text}\r\n` });
  }

  frames(connection: string, ...frames: ScriptFrame[]): this {
    this.steps.push({
      kind: 'frames',
      connection,
      frames,
      closes: frames.some(({ opcode }) => opcode === 8),
    });
    return this;
  }

  /** Sends frames and waits until the server closes. */
  last(connection: string, ...frames: ScriptFrame[]): this {
    this.steps.push({ kind: 'frames', connection, frames, closes: true });
    return this;
  }

  closed(connection: string): this {
    this.steps.push({ kind: 'closed', connection });
    return this;
  }
}

export function websocketScenario(
  name: string,
  config: WebsocketConfigName,
  build: (script: WebsocketScript) => WebsocketScript,
  { losesClose = false, builtIn = false } = {},
): WebsocketScenario {
  return { name, config, losesClose, builtIn, steps: build(new WebsocketScript()).steps };
}
