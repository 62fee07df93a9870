/** The server configurations that scenarios run under; scenarios with the same name share one daemon. */
import { certificates } from '../support/certificates.ts';
import type { ConfigName } from './scenario.ts';

const LIMITS = `
max_payload: 100
max_control_line: 4096
max_subscriptions: 3
max_subscription_tokens: 4
`;

/** bcrypt of "s3cret" with cost 4: cheap on purpose. */
const BCRYPT = '$2b$04$iu90ZQACsct8h1xHhwtXruT/BPWuXM45axXgLNdN.rEb8n1b5poaK';

const PERMISSION_USERS = `
    { user: all, password: pw }
    { user: strings, password: pw, permissions: { publish: "p.*", subscribe: "s.>" } }
    { user: lists, password: pw, permissions: { pub: ["p.a", "p.b"], sub: ["s.a", "s.b.*"] } }
    { user: deny, password: pw, permissions: {
        publish: { allow: "p.>", deny: ["p.no", "p.no.>"] }
        subscribe: { allow: "s.>", deny: ["s.no", "s.no.>"] } } }
    { user: denyonly, password: pw, permissions: { publish: { deny: "p.no" }, subscribe: { deny: "s.no" } } }
    { user: denydelivery, password: pw, permissions: { subscribe: { deny: ["d.secret", "d.*.hidden"] } } }
    { user: nothing, password: pw, permissions: { publish: { deny: ">" }, subscribe: { deny: [">"] } } }
    { user: noallow, password: pw, permissions: { publish: { allow: [] }, subscribe: { allow: [] } } }
    { user: queues, password: pw,
      permissions: { subscribe: { allow: ["bar v1", "foo", "both", "both v1", "q.* grp.*"] } } }
    { user: denyqueue, password: pw, permissions: { subscribe: { allow: ">", deny: ["w.q dq", "x.> prod.*"] } } }
    { user: responder, password: pw, permissions: { subscribe: "svc.>", allow_responses: true } }
    { user: two, password: pw, permissions: { subscribe: "svc.>", allow_responses: { max: 2, expires: "1m" } } }
    { user: unlimited, password: pw, permissions: { subscribe: "svc.>", allow_responses: { max: -1, expires: "-1s" } } }
    { user: mixed, password: pw,
      permissions: { publish: { allow: "log.>" }, subscribe: "svc.>", allow_responses: true } }
    { user: denyresp, password: pw,
      permissions: { publish: { deny: "p.no" }, subscribe: "svc.>", allow_responses: true } }
    { user: wild, password: pw, permissions: { publish: ["x.*"], subscribe: { allow: ["w.>", "l.*.c"] } } }
`;

const ACCOUNTS = `
accounts {
  A { users: [{ user: a, password: pw }, { user: a2, password: pw }] }
  B { users: [{ user: b, password: pw }] }
  CONN { limits { max_connections: 1 }, users: [{ user: conn, password: pw }] }
  SUBS { limits { max_subscriptions: 2 }, users: [{ user: subs, password: pw }] }
  PAY { limits { max_payload: 10 }, users: [{ user: pay, password: pw }] }
  NOPAY { limits { max_payload: -1 }, users: [{ user: nopay, password: pw }] }
  TYPES { users: [
    { user: std, password: pw, allowed_connection_types: [STANDARD, websocket] }
    { user: ws, password: pw, allowed_connection_types: ["WEBSOCKET"] }
  ] }
  DEFAULTS {
    default_permissions { publish: "ok.>", subscribe: { allow: ["ok.>", "_INBOX.>"], deny: "ok.no" } }
    users: [
      { user: dflt, password: pw }
      { user: own, password: pw, permissions: { publish: "own.>" } }
    ]
  }
  PERM { users: [
${PERMISSION_USERS}
  ] }
}
`;

const MAPPINGS = `
mappings {
  "plain": "mapped.plain"
  "wild.*.*": "swap.$2.$1"
  "curly.*.*": "curlyout.{{wildcard(2)}}.{{Wildcard(1)}}"
  "spaced.*": "spacedout.{{ wildcard( 1 ) }}"
  "rest.>": "out.>"
  "restw.*.>": "outw.$1.>"
  "part.*.*": "parted.{{partition(10,1,2)}}.$1"
  "partall.*.*": "partedall.{{partition(10)}}"
  "partlit": "partedlit.{{partition(10)}}"
  "partzero.*": "partedzero.{{partition(0,1)}}"
  "randzero.*": "rand.{{random(0)}}.$1"
  "split.*": "splitout.{{split(1,-)}}"
  "left.*": "leftout.{{splitFromLeft(1,3)}}"
  "right.*": "rightout.{{splitFromRight(1,3)}}"
  "slicel.*": "slicelout.{{sliceFromLeft(1,3)}}"
  "slicer.*": "slicerout.{{sliceFromRight(1,3)}}"
  "first.*": "firstout.{{left(1,2)}}"
  "last.*": "lastout.{{right(1,2)}}"
  "lower.*": "lowerout.{{splitfromleft(1,2)}}"
  "partial.*": "partialout.x{{wildcard(1)}}.$1"
  "nonnum.*": "nonnumout.$x.$1"
  "zero.*": "zeroout.$0.$1"
  "weighted": [ { dest: "weighted.one", weight: 100 } ]
  "percent": [ { dest: "percent.one", weight: "100%" } ]
  "half": [ { dest: "half.none", weight: 0 } ]
  "lost": [ { dest: "lost.none", weight: 0 }, { dest: "lost", weight: 0 } ]
  "chain": "chain2"
  "chain2": "chain3"
  "elsewhere": [ { dest: "elsewhere.there", weight: 100, cluster: "far" } ]
}
authorization {
  users: [
    { user: any, password: pw }
    { user: source, password: pw, permissions: { publish: "plain", subscribe: ">" } }
    { user: target, password: pw, permissions: { publish: "mapped.plain", subscribe: ">" } }
  ]
}
no_auth_user: any
`;

function tls(extra: string): string {
  const set = certificates();
  return `
tls {
  cert_file: "${set.server.certFile}"
  key_file: "${set.server.keyFile}"
  ca_file: "${set.caFile}"
  timeout: 2
  ${extra}
}
`;
}

const CONFIGURATIONS: Record<ConfigName, () => string> = {
  open: () => 'debug: false\n',
  named: () => 'server_name: named_server\nclient_advertise: "example.com:7000"\nmax_payload: 2048\n',
  limits: () => LIMITS,
  'short-lines': () => 'max_control_line: 100\n',
  accounts: () => ACCOUNTS,
  defaults: () => `
authorization {
  default_permissions { publish: "ok.>", subscribe: { allow: ["ok.>"], deny: "ok.no" } }
  users: [ { user: dflt, password: pw }, { user: own, password: pw, permissions: { publish: "own.>" } } ]
}
`,
  'single-user': () => 'authorization { user: "derek", password: "pa ss" }\n',
  token: () => 'authorization { token: "T0k3n" }\n',
  bcrypt: () => `
authorization { timeout: 30, users: [ { user: hashed, password: "${BCRYPT}" }, { user: plain, password: "s3cret" } ] }
`,
  'auth-timeout': () => 'authorization { user: derek, password: pw, timeout: 0.4 }\n',
  'max-connections': () => 'max_connections: 2\n',
  'no-connections': () => 'max_connections: -1\n',
  keepalive: () => 'ping_interval: "300ms"\nping_max: 2\n',
  'no-headers': () => 'no_header_support: true\n',
  mappings: () => MAPPINGS,
  tls: () => tls(''),
  'tls-verify': () => tls('verify: true'),
  'tls-optional': () => `${tls('')}allow_non_tls: true\n`,
  'tls-first': () => tls('handshake_first: true'),
  // As `auto`, whose 50 ms a busy machine may need for less than a ClientHello.
  'tls-auto': () => tls('handshake_first: "1s"'),
  proxy: () => 'proxy_protocol: true\n',
  'no-auth-user': () => `
authorization {
  users: [ { user: guest, password: pw, permissions: { publish: "g.>" } }, { user: admin, password: pw } ]
}
no_auth_user: guest
`,
};

/** Text of the configuration file. */
export function configurationText(name: ConfigName): string {
  return CONFIGURATIONS[name]();
}
