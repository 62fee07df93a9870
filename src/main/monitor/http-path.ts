/** Request paths as nats-server's multiplexer sees them: matched exactly, but cleaned by a redirect first. */

export interface RequestTarget {
  /** Decoded path. */
  path: string;
  /** Without `?`; empty when there is none. */
  query: string;
}

/** Splits a request target; `null` when it is no path or has a broken escape. */
export function parseTarget(target: string): RequestTarget | null {
  const withoutOrigin = target.replace(/^https?:\/\/[^/?]*/i, '');
  const separator = withoutOrigin.indexOf('?');
  const raw = separator < 0 ? withoutOrigin : withoutOrigin.slice(0, separator);
  if (raw !== '' && !raw.startsWith('/')) return null;
  try {
    return {
      path: decodeURIComponent(raw) || '/',
      query: separator < 0 ? '' : withoutOrigin.slice(separator + 1),
    };
  } catch {
    return null;
  }
}

/** The path without empty, `.` and `..` segments; a final slash stays. */
export function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') kept.pop();
    else kept.push(segment);
  }
  const cleaned = `/${kept.join('/')}`;
  return path.endsWith('/') && cleaned !== '/' ? `${cleaned}/` : cleaned;
}

/** `nats/` and `/nats` both as `/nats`; empty for no base path. */
export function normalizeBasePath(basePath: string): string {
  const cleaned = cleanPath(`/${basePath}`);
  return cleaned.replace(/\/$/, '');
}
