import { isNkey } from '../../shared/auth/nkey.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy } from './row.ts';
import { checkedTlsRow } from './tls-block.ts';
import { array, boolean, isText, map, text, textList } from './value.ts';

/** Operator mode, OCSP and trusted proxies: checked; natsd doesn't start with them. Facts: configuration reference §§3.1, 3.6. */

const RESOLVER_FORM =
  'error parsing account resolver, should be MEM or  URL("url") or a map containing dir and type state=[FULL|CACHE])';
const JWT = /^eyJ[\w-]*\.[\w-]+\.[\w-]+$/;
const MIN_OCSP_SAVE_INTERVAL_NS = 1_000_000_000n;

function readOperators(reader: Reader, entry: ConfEntry): void {
  const names = textList(entry.value, 'operators');
  for (const name of names) {
    if (JWT.test(name.trim())) continue;
    let content: string;
    try {
      content = Buffer.from(reader.readFile(name)).toString('utf8');
    } catch (error) {
      throw new OptionError(
        `error parsing operator JWT: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    if (!/eyJ[\w-]*\.[\w-]+\.[\w-]+/.test(content)) {
      throw new OptionError('error parsing operator JWT: expected 3 chunks');
    }
  }
}

function readTrustedKeys(_reader: Reader, entry: ConfEntry): void {
  const { value } = entry;
  const elements = value.kind === 'array' ? value.values : [value];
  for (const element of elements) {
    if (!isText(element))
      throw new OptionError(`error parsing trusted: unsupported type ${goTypeName(element)}`);
    const key = text(element);
    if (isNkey('operator', key)) continue;
    throw new OptionError(
      `trust key ${quote(key)} required to be a valid public operator nkey`,
      value.kind === 'array' ? element.position : null,
    );
  }
}

/** The inner keys are matched as written and unknown ones are ignored, as in nats-server. */
function readResolver(_reader: Reader, entry: ConfEntry): void {
  const { value } = entry;
  if (isText(value)) {
    const form = text(value);
    if (/^mem(ory)?$/i.test(form)) return;
    const url = /^url\(\s*"?([^"\s]+)"?\s*\)$/i.exec(form);
    if (url === null) throw new OptionError(RESOLVER_FORM);
    if (!URL.canParse(url[1]!)) throw new OptionError(`error parsing account resolver url: ${url[1]}`);
    return;
  }
  const options = map(value, RESOLVER_FORM).entries;
  const option = (name: string) => options.get(name)?.value;
  const type = option('type');
  const kind = type !== undefined && isText(type) ? text(type).toUpperCase() : '';
  for (const name of ['interval', 'ttl', 'timeout']) {
    const duration = option(name);
    if (duration === undefined) continue;
    const result = parseDuration(text(duration));
    if ('error' in result) throw new OptionError(result.error);
  }
  const has = (name: string) => options.has(name);
  const isOn = (name: string) => has(name) && boolean(option(name)!);
  if (kind === 'CACHE') {
    if (has('interval')) throw new OptionError('CACHE does not accept sync');
    if (has('allow_delete')) throw new OptionError('CACHE does not accept allow_delete');
    if (has('hard_delete')) throw new OptionError('CACHE does not accept hard_delete');
  } else if (kind === 'FULL') {
    if (has('ttl')) throw new OptionError('FULL does not accept ttl');
    if (isOn('hard_delete') && !isOn('allow_delete')) {
      throw new OptionError('hard_delete has no effect without delete');
    }
  } else if (kind !== 'MEM' && kind !== 'MEMORY') {
    throw new OptionError(RESOLVER_FORM);
  }
  if (kind.startsWith('MEM')) return;
  const directory = option('dir');
  if (directory === undefined || text(directory) === '') {
    throw new OptionError('dir has no value and needs to point to a directory');
  }
}

function readPreload(reader: Reader, entry: ConfEntry): void {
  const block = map(entry.value, 'preload should be a map of account_public_key:account_jwt');
  for (const account of block.entries.values()) {
    reader.attempt(account, () => {
      if (!isText(account.value)) {
        throw new OptionError('preload map value should be a string JWT');
      }
      if (!JWT.test(text(account.value).trim())) throw new OptionError('invalid account JWT');
    });
  }
}

const OCSP_MODES = ['auto', 'always', 'must', 'never'];

function readOcsp(reader: Reader, entry: ConfEntry): void {
  const { value } = entry;
  if (value.kind === 'boolean') return;
  const block = map(value, `error parsing ocsp config: unsupported type ${goTypeName(value)}`);
  reader.readBlock(block, OCSP_ROWS, null, {
    path: 'ocsp',
    unknown: () => 'error parsing ocsp config: unsupported field string',
  });
}

const OCSP_ROWS: OptionRow<unknown>[] = [
  checkedBy(
    'mode',
    '`auto`, `always`, `must` or `never`',
    'Which certificates are stapled.',
    (_reader, entry) => {
      if (OCSP_MODES.includes(text(entry.value).toLowerCase())) return;
      throw new OptionError(`error parsing ocsp config: unsupported ocsp mode ${quote(text(entry.value))}`);
    },
  ),
  checked('url', 'string', 'Responder.'),
  checkedBy('urls', 'array of strings', 'Responders.', (_reader, entry) => {
    for (const element of array(entry.value).values) text(element);
  }),
];

const OCSP_CACHE_ROWS: OptionRow<unknown>[] = [
  checkedBy('type', '`none` or `local`', 'Where responses are kept.', (_reader, entry) => {
    const type = text(entry.value);
    if (['none', 'local'].includes(type.toLowerCase())) return;
    throw new OptionError(`error parsing OCSP peer cache config, unknown type [${type}]`);
  }),
  checked('local_store', 'string', 'Directory.', '_rc_'),
  checked('preserve_revoked', 'boolean', 'Never forget a revocation.', 'false'),
  checkedBy(
    'save_interval',
    'duration',
    'Interval of writes.',
    (_reader, entry) => {
      if (entry.value.kind === 'integer' || entry.value.kind === 'float') return;
      const result = parseDuration(text(entry.value));
      if ('error' in result) throw new OptionError(`error parsing OCSP peer cache config: ${result.error}`);
      if (result.nanoseconds < MIN_OCSP_SAVE_INTERVAL_NS) {
        throw new OptionError('error parsing OCSP peer cache config: save_interval must be 1s or more');
      }
    },
    { default: '5m' },
  ),
];

const PROXY_ROWS: OptionRow<unknown>[] = [
  checkedBy(['key', 'public_key'], 'string', 'Public key of the proxy.', (_reader, entry) => {
    const key = text(entry.value);
    if (isPublicKey(key)) return;
    throw new OptionError(`invalid proxy key ${quote(key)}`);
  }),
];

function isPublicKey(key: string): boolean {
  return (['user', 'account', 'operator', 'server', 'cluster'] as const).some((kind) => isNkey(kind, key));
}

const PROXIES_ROWS: OptionRow<unknown>[] = [
  checkedBy(
    'trusted',
    'array of maps',
    'Proxies whose signatures are believed.',
    (reader, entry) => {
      const list = array(
        entry.value,
        `expected proxies' trusted field to be an array, got ${goTypeName(entry.value)}`,
      );
      for (const element of list.values) {
        reader.attempt(element, () => {
          const block = map(
            element,
            `expected proxies' trusted entry to be a map/struct, got ${goTypeName(element)}`,
          );
          reader.readBlock(block, PROXY_ROWS, null, { path: 'proxies.trusted' });
        });
      }
    },
    { children: PROXY_ROWS },
  ),
];

/** Top-level rows of operator mode, OCSP and trusted proxies. */
export const OPERATOR_ROWS: OptionRow<ConfigDraft>[] = [
  checkedBy(
    ['operator', 'operators', 'root', 'roots', 'root_operator', 'root_operators'],
    'path, JWT or array',
    'Operators whose accounts are trusted.',
    readOperators,
  ),
  checkedBy(['trusted_keys', 'trusted'], 'string or array', 'Public operator keys.', readTrustedKeys),
  checkedBy(
    ['resolver', 'account_resolver', 'accounts_resolver'],
    'string or map',
    'Where account JWTs come from: `MEM`, `URL(…)`, or a map of `type`, `dir`, `allow_delete`, `hard_delete`, `interval`, `limit`, `ttl`, `timeout`.',
    readResolver,
    { reload: 'not its type' },
  ),
  checkedTlsResolverRow(),
  checkedBy('resolver_preload', 'map', 'Account JWTs known from the start.', readPreload, { reload: 'yes' }),
  checkedBy(
    'resolver_pinned_accounts',
    'string or array',
    'Only these accounts may connect.',
    (_reader, entry) => void textList(entry.value, 'resolver_pinned_accounts'),
    { reload: 'yes' },
  ),
  checked('default_sentinel', 'string', 'User JWT of connections without one.', '', 'yes'),
  checkedBy('ocsp', 'boolean or map', 'OCSP stapling.', readOcsp, { reload: 'yes', children: OCSP_ROWS }),
  checkedBy(
    'ocsp_cache',
    'boolean or map',
    'Cache of OCSP responses.',
    (reader, entry) => {
      if (entry.value.kind === 'boolean') return;
      const block = map(
        entry.value,
        `error parsing OCSP peer cache config: unsupported type ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, OCSP_CACHE_ROWS, null, {
        path: 'ocsp_cache',
        unknown: (name) => `error parsing OCSP peer cache config, unknown field [${name}]`,
      });
    },
    { reload: 'yes', children: OCSP_CACHE_ROWS },
  ),
  checkedBy(
    'proxies',
    'map',
    'Proxies that vouch for their clients.',
    (reader, entry) => {
      const block = map(entry.value, `expected proxies to be a map/struct, got ${goTypeName(entry.value)}`);
      reader.readBlock(block, PROXIES_ROWS, null, { path: 'proxies' });
    },
    { reload: 'yes', children: PROXIES_ROWS },
  ),
];

function checkedTlsResolverRow(): OptionRow<unknown> {
  return {
    ...checkedTlsRow('resolver_tls', false),
    name: 'resolver_tls',
    doc: 'TLS towards a URL resolver.',
  };
}
