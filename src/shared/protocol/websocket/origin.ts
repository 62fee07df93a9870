/** Origins of pages: which may connect (websocket.md §2.4). */

/** An origin in comparable form: lower case, the scheme's default port filled in. */
export interface Origin {
  scheme: string;
  host: string;
  port: number;
}

/** What the check compares an `Origin` header with. */
export interface OriginRules {
  sameOrigin: boolean;
  allowed: readonly Origin[];
}

const ABSOLUTE =
  /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:[^@/?#]*@)?(\[[0-9A-Fa-f:.%]+\]|[^:/?#[\]\\]*)(?::(\d*))?(?:[/?][^#]*)?$/;
const MAX_PORT = 65_535;

function defaultPort(scheme: string): number {
  return scheme === 'https' ? 443 : 80;
}

/** Parses an absolute URL into its origin. @returns `null` when it isn't one, or contains what no URL may */
export function parseOrigin(text: string): Origin | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are refused.
  if (/[\x00-\x20\x7f]/.test(text)) return null;
  const match = ABSOLUTE.exec(text);
  if (match === null) return null;
  const scheme = match[1]!.toLowerCase();
  const port = match[3] === undefined || match[3] === '' ? defaultPort(scheme) : Number(match[3]);
  if (port > MAX_PORT) return null;
  return { scheme, host: match[2]!.toLowerCase(), port };
}

/** Why an entry of `allowed_origins` can't be used, in nats-server's words; '' when it can. */
export function allowedOriginProblem(text: string): string {
  const origin = parseOrigin(text);
  const isPath = text.startsWith('/');
  if (origin === null && !isPath) {
    return `unable to parse allowed origin: parse ${JSON.stringify(text)}: invalid URI for request`;
  }
  if (origin === null || (origin.scheme !== 'http' && origin.scheme !== 'https')) {
    return `unable to parse allowed origin ${JSON.stringify(text)}: allowed origins must be absolute URLs with http or https scheme`;
  }
  return origin.host === '' ? `unable to parse allowed origin ${JSON.stringify(text)}: host is required` : '';
}

/** Compiles the options; entries were checked before. */
export function compileOriginRules(sameOrigin: boolean, allowedOrigins: readonly string[]): OriginRules {
  const allowed = allowedOrigins.map(parseOrigin).filter((origin) => origin !== null);
  return { sameOrigin, allowed };
}

/**
 * Whether a request may come from this page.
 *
 * @param origin the header's value; '' when there is none, which is no browser and may
 * @param host the request's `Host`
 * @returns '' or the reason, as nats-server logs it
 */
export function originProblem(rules: OriginRules, origin: string, host: string, isTls: boolean): string {
  if ((!rules.sameOrigin && rules.allowed.length === 0) || origin === '') return '';
  const page = parseOrigin(origin);
  if (page === null) return `parse ${JSON.stringify(origin)}: invalid URI for request`;
  if (rules.sameOrigin) {
    const own = parseOrigin(`${isTls ? 'https' : 'http'}://${host}`);
    if (own === null || !isSame(page, own)) return 'origin not allowed: not same origin';
  }
  if (rules.allowed.length > 0 && !rules.allowed.some((entry) => isSame(entry, page))) {
    return 'origin not allowed: not in the allowed list';
  }
  return '';
}

function isSame(a: Origin, b: Origin): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port;
}
