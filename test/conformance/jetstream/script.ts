/**
 * The vocabulary of JetStream scenarios: requests over the wire, in order, each with the replies to wait for.
 *
 * As in the scenarios of the core protocol no expectation is written here: what nats-server answered is the expectation,
 * kept in `transcripts/`. Waiting is for messages and never for time, so a recording doesn't depend on timing.
 */

export type JetStreamConfigName = 'accounts' | 'domain' | 'small';

/** What ends the wait for the answers to a request. */
export type Replies =
  /** So many messages on the reply subject. */
  | number
  /** Everything up to a message with a status line or without a body: batches of direct get. */
  | 'batch'
  /** Nothing: whatever a server may still say is over when a later request is answered. */
  | 'nothing';

export interface RequestStep {
  readonly kind: 'request';
  readonly user: string;
  readonly subject: string;
  /** Header lines without the block's first and last. */
  readonly headers: readonly string[];
  readonly payload: string;
  /** Null: `R.<number of the step>`. */
  readonly reply: string | null;
  readonly replies: Replies;
  /** Messages on the subjects listened to that the request causes. */
  readonly events: number;
}

export type JetStreamStep =
  | RequestStep
  /** Subscribes; what arrives is an event of the step it arrives in. */
  | {
      readonly kind: 'listen';
      readonly user: string;
      readonly subject: string;
      /** Group; empty: none. */
      readonly queue: string;
    };

export interface JetStreamScenario {
  readonly name: string;
  readonly config: JetStreamConfigName;
  readonly steps: readonly JetStreamStep[];
}

export type Body = string | number | Record<string, unknown>;

export interface RequestOptions {
  headers?: readonly string[];
  replies?: Replies;
  events?: number;
  reply?: string;
}

function bodyText(body: Body): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

export class Script {
  readonly steps: JetStreamStep[] = [];
  /** Who the following steps are of. */
  user = 'a';

  as(user: string): this {
    this.user = user;
    return this;
  }

  /** A request to any subject. */
  request(subject: string, body: Body = '', options: RequestOptions = {}): this {
    const { headers = [], replies = 1, events = 0, reply = null } = options;
    const payload = bodyText(body);
    this.steps.push({ kind: 'request', user: this.user, subject, headers, payload, reply, replies, events });
    return this;
  }

  /** A request of the API: `subject` behind `$JS.API.`. */
  api(subject: string, body: Body = '', options: RequestOptions = {}): this {
    return this.request(`$JS.API.${subject}`, body, options);
  }

  /** Makes a stream: `STREAM.CREATE` with the name in subject and body. */
  create(config: Record<string, unknown> & { name: string }, options: RequestOptions = {}): this {
    return this.api(`STREAM.CREATE.${config.name}`, config, options);
  }

  update(config: Record<string, unknown> & { name: string }, options: RequestOptions = {}): this {
    return this.api(`STREAM.UPDATE.${config.name}`, config, options);
  }

  /** A publish that is acknowledged. */
  publish(subject: string, payload = '', ...headers: string[]): this {
    return this.request(subject, payload, { headers });
  }

  direct(stream: string, body: Body, replies: Replies = 1): this {
    return this.api(`DIRECT.GET.${stream}`, body, { replies });
  }

  /** Makes or changes the consumer `c` of stream `S`. */
  consumer(config: Record<string, unknown>, options: RequestOptions = {}): this {
    const body = {
      stream_name: 'S',
      config: { name: 'c', durable_name: 'c', ack_policy: 'explicit', ...config },
    };
    return this.api('CONSUMER.CREATE.S.c', body, options);
  }

  /** A pull at consumer `c` of stream `S`. Everything it brings is in this step: so many messages, statuses included. */
  pull(body: Body, replies: number, headers: readonly string[] = []): this {
    return this.api('CONSUMER.MSG.NEXT.S.c', body, { replies, headers });
  }

  /** A pull whose messages are events of `d.>`, of this step and later ones. */
  pullTo(reply: string, body: Body, events = 0): this {
    return this.api('CONSUMER.MSG.NEXT.S.c', body, { reply, replies: 0, events });
  }

  /** A message on the acknowledgement subject of consumer `c`; of one delivery unless it is given. */
  ack(
    streamSeq: number,
    consumerSeq: number,
    payload: string,
    options: RequestOptions & { delivered?: number } = {},
  ): this {
    const { delivered = 1, ...rest } = options;
    return this.request(`$JS.ACK.S.c.${delivered}.${streamSeq}.${consumerSeq}.1.0`, payload, rest);
  }

  listen(subject: string, queue = ''): this {
    this.steps.push({ kind: 'listen', user: this.user, subject, queue });
    return this;
  }
}

/** Defines a scenario. */
export function jetStreamScenario(
  name: string,
  describe: (script: Script) => void,
  config: JetStreamConfigName = 'accounts',
): JetStreamScenario {
  const script = new Script();
  describe(script);
  return { name, config, steps: script.steps };
}
