/** The server configurations of JetStream scenarios; those with the same name share one daemon. */
import type { JetStreamConfigName } from './script.ts';

const SYSTEM = 'SYS { users: [ { user: sys, password: pw } ] }';

const CONFIGURATIONS: Record<JetStreamConfigName, string> = {
  accounts: `
server_name: conformance
jetstream { store_dir: store, max_mem: 64M, max_file: 64M }
accounts {
  A { jetstream: enabled, users: [ { user: a, password: pw } ] }
  LIMITED {
    jetstream { max_streams: 2, max_consumers: 3, max_mem: 4096, max_file: 4096, mem_max_stream_bytes: 2048 }
    users: [ { user: limited, password: pw } ]
  }
  BYTES { jetstream { max_bytes_required: true, max_file: 1M }, users: [ { user: bytes, password: pw } ] }
  NONE { users: [ { user: none, password: pw } ] }
  ${SYSTEM}
}
system_account: SYS
`,
  domain: `
server_name: conformance
jetstream { store_dir: store, max_mem: 64M, max_file: 64M, domain: hub, strict: false }
accounts {
  A { jetstream: enabled, users: [ { user: a, password: pw } ] }
  ${SYSTEM}
}
system_account: SYS
`,
  small: `
server_name: conformance
max_payload: 4096
jetstream {
  store_dir: store, max_mem: 4096, max_file: 8192
  limits { duplicate_window: "1m", batch { max_msgs: 3, max_inflight_per_stream: 2, max_inflight_total: 3 } }
}
accounts {
  A { jetstream: enabled, users: [ { user: a, password: pw } ] }
  ${SYSTEM}
}
system_account: SYS
`,
};

/** Text of the configuration file. */
export function jetStreamConfiguration(name: JetStreamConfigName): string {
  return CONFIGURATIONS[name];
}
