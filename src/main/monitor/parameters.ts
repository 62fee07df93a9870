/**
 * Decoding of query parameters with nats-server's error texts (spec "Parameter decoding"). The first of several values
 * counts, unknown parameters are ignored, an empty value is an absent one.
 */

import type { ConnectionState, SubscriptionDetail } from '../../shared/mail/monitor.ts';

/** A parameter that cannot be used: status 400, `message` is the body. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
}

const TRUE_WORDS = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE_WORDS = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const MAX_INT = 2n ** 63n - 1n;
const MAX_UINT = 2n ** 64n - 1n;

/** The parameters of a query string (without `?`). Pairs with a broken escape or a `;` are ignored, as Go does. */
export class Parameters {
  private readonly values = new Map<string, string>();

  constructor(query: string) {
    for (const pair of query.split('&')) {
      if (pair === '' || pair.includes(';')) continue;
      const separator = pair.indexOf('=');
      const name = unescapeComponent(separator < 0 ? pair : pair.slice(0, separator));
      const value = unescapeComponent(separator < 0 ? '' : pair.slice(separator + 1));
      if (name !== null && value !== null && !this.values.has(name)) this.values.set(name, value);
    }
  }

  text(name: string): string {
    return this.values.get(name) ?? '';
  }

  /** Throws ParameterError. */
  boolean(name: string): boolean {
    const text = this.text(name);
    if (text === '' || FALSE_WORDS.has(text)) return false;
    if (TRUE_WORDS.has(text)) return true;
    throw new ParameterError(
      `Error decoding boolean for '${name}': strconv.ParseBool: parsing ${quoteValue(text)}: invalid syntax`,
    );
  }

  /** A whole number, clamped to what a double counts exactly. Throws ParameterError. */
  integer(name: string): number {
    const text = this.text(name);
    if (text === '') return 0;
    const fail = (why: string): ParameterError =>
      new ParameterError(
        `Error decoding int for '${name}': strconv.Atoi: parsing ${quoteValue(text)}: ${why}`,
      );
    if (!/^[+-]?\d+$/.test(text)) throw fail('invalid syntax');
    const value = BigInt(text.replace('+', ''));
    if (value > MAX_INT || value < -MAX_INT - 1n) throw fail('value out of range');
    return clamp(value);
  }

  /** A connection id; one beyond what a double counts exactly matches no connection. Throws ParameterError. */
  unsigned(name: string): number {
    const text = this.text(name);
    if (text === '') return 0;
    const fail = (why: string): ParameterError =>
      new ParameterError(
        `Error decoding uint64 for '${name}': strconv.ParseUint: parsing ${quoteValue(text)}: ${why}`,
      );
    if (!/^\d+$/.test(text)) throw fail('invalid syntax');
    const value = BigInt(text);
    if (value > MAX_UINT) throw fail('value out of range');
    return clamp(value);
  }

  /** `subs`: a boolean or `detail`. Throws ParameterError. */
  subscriptionDetail(name: string): SubscriptionDetail {
    if (this.text(name).toLowerCase() === 'detail') return 'detail';
    return this.boolean(name) ? 'subjects' : 'none';
  }

  /** Throws ParameterError. */
  state(name: string): ConnectionState {
    const text = this.text(name);
    switch (text.toLowerCase()) {
      case '':
      case 'open':
        return 'open';
      case 'closed':
        return 'closed';
      case 'any':
      case 'all':
        return 'all';
      default:
        throw new ParameterError(`Error decoding state for ${text}`);
    }
  }
}

function clamp(value: bigint): number {
  const largest = BigInt(Number.MAX_SAFE_INTEGER);
  if (value > largest) return Number.MAX_SAFE_INTEGER;
  return value < -largest ? -Number.MAX_SAFE_INTEGER : Number(value);
}

function unescapeComponent(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

function quoteValue(text: string): string {
  return JSON.stringify(text);
}
