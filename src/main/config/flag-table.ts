import type { ScalarValues } from './scalars.ts';

/** The command-line flags: names, what they take, what they set. Facts: configuration reference §4. */

export type FlagKind = 'string' | 'integer' | 'boolean';

export interface Flag {
  names: readonly string[];
  kind: FlagKind;
  /** Word for the argument in the help text. */
  argument: string;
  help: string;
  /** The option it overrides, where it is just that. */
  scalar?: keyof ScalarValues;
}

export interface FlagGroup {
  title: string;
  flags: readonly Flag[];
}

function flag(
  names: string,
  kind: FlagKind,
  argument: string,
  help: string,
  scalar?: keyof ScalarValues,
): Flag {
  return { names: names.split(' '), kind, argument, help, ...(scalar === undefined ? {} : { scalar }) };
}

export const FLAG_GROUPS: readonly FlagGroup[] = [
  {
    title: 'Server Options',
    flags: [
      flag('a addr net', 'string', '<host>', 'Address to listen on (default 0.0.0.0)', 'host'),
      flag('p port', 'integer', '<port>', 'Port for clients, -1 for a random one (default 4222)', 'port'),
      flag('n name server_name', 'string', '<name>', 'Name of the server (default: its id)', 'server_name'),
      flag('P pid', 'string', '<file>', 'Write the process id to a file', 'pid_file'),
      flag('m http_port', 'integer', '<port>', 'Port for monitoring over http', 'http_port'),
      flag('ms https_port', 'integer', '<port>', 'Port for monitoring over https', 'https_port'),
      flag('c config', 'string', '<file>', 'Read this configuration file'),
      flag('t', 'boolean', '', 'Check the configuration and exit'),
      flag(
        'sl signal',
        'string',
        '<cmd>[=<pid>]',
        'Signal a running server: ldm, stop, quit, term, reopen, reload',
      ),
      flag('client_advertise', 'string', '<addr>', 'Address given to clients', 'client_advertise'),
      flag('ports_file_dir', 'string', '<dir>', 'Directory for <name>_<pid>.ports', 'ports_file_dir'),
      flag('shards', 'integer', '<n>', 'Threads that serve connections (natsd only)', 'shards'),
    ],
  },
  {
    title: 'Logging Options',
    flags: [
      flag('l log', 'string', '<file>', 'Log to a file', 'log_file'),
      flag('T logtime', 'boolean', '', 'Put the time into log lines (default true)', 'logtime'),
      flag('logtime_utc', 'boolean', '', 'Log time is UTC', 'logtime_utc'),
      flag('s syslog', 'boolean', '', 'Log to the local syslog', 'syslog'),
      flag('r remote_syslog', 'string', '<addr>', 'Log to a syslog server (udp://host:514)', 'remote_syslog'),
      flag('D debug', 'boolean', '', 'Log debug messages', 'debug'),
      flag('V trace', 'boolean', '', 'Log protocol traces', 'trace'),
      flag('VV', 'boolean', '', 'Trace the system account too'),
      flag('DV', 'boolean', '', 'Debug and trace'),
      flag('DVV', 'boolean', '', 'Debug, and trace the system account too'),
      flag('log_size_limit', 'integer', '<bytes>', 'Rotate the log file at this size', 'log_size_limit'),
      flag('max_traced_msg_len', 'integer', '<bytes>', 'Bytes of a payload in traces', 'max_traced_msg_len'),
      flag('log_format', 'string', '<text|json>', 'Form of log lines (natsd only)', 'log_format'),
    ],
  },
  {
    title: 'JetStream Options',
    flags: [
      flag('js jetstream', 'boolean', '', 'Enable JetStream'),
      flag('sd store_dir', 'string', '<dir>', 'Directory of the store'),
    ],
  },
  {
    title: 'Authorization Options',
    flags: [
      flag('user', 'string', '<user>', 'User that clients must give'),
      flag('pass', 'string', '<password>', 'Password that clients must give'),
      flag('auth', 'string', '<token>', 'Token that clients must give'),
    ],
  },
  {
    title: 'TLS Options',
    flags: [
      flag('tls', 'boolean', '', 'Serve clients over TLS'),
      flag('tlscert', 'string', '<file>', 'Certificate of the server'),
      flag('tlskey', 'string', '<file>', 'Private key of the certificate'),
      flag('tlsverify', 'boolean', '', 'Require and verify client certificates'),
      flag('tlscacert', 'string', '<file>', 'Authorities of client certificates'),
    ],
  },
  {
    title: 'Cluster Options',
    flags: [
      flag('routes', 'string', '<url, …>', 'Routes to solicit'),
      flag('cluster', 'string', '<url>', 'Listen for routes'),
      flag('cluster_name', 'string', '<name>', 'Name of the cluster'),
      flag('no_advertise', 'boolean', '', 'Do not gossip client addresses'),
      flag('cluster_advertise', 'string', '<addr>', 'Address given to other servers'),
      flag('connect_retries', 'integer', '<n>', 'Attempts for implicit routes'),
      flag('cluster_listen', 'string', '<url>', 'Listen for routes'),
    ],
  },
  {
    title: 'Profiling Options',
    flags: [flag('profile', 'integer', '<port>', 'Port of the profiler', 'prof_port')],
  },
  {
    title: 'Common Options',
    flags: [
      flag('h help', 'boolean', '', 'Show this text'),
      flag('v version', 'boolean', '', 'Show the version'),
      flag('help_tls', 'boolean', '', 'Show what the tls block takes'),
    ],
  },
];

const BY_NAME: ReadonlyMap<string, Flag> = new Map(
  FLAG_GROUPS.flatMap((group) =>
    group.flags.flatMap((entry) => entry.names.map((name) => [name, entry] as const)),
  ),
);

/** The flag of a name without dashes. */
export function findFlag(name: string): Flag | undefined {
  return BY_NAME.get(name);
}

/** A flag's name with its dashes as help texts write it: one before letters of their own, two before a word. */
export function dashed(name: string): string {
  return /^[a-z_]{3,}$/.test(name) ? `--${name}` : `-${name}`;
}
