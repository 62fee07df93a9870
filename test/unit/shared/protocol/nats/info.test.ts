import { expect, test } from 'vitest';
import { buildInfo, type InfoFields, infoLine } from '../../../../../src/shared/protocol/nats/info.ts';

const first: InfoFields = {
  serverId: 'NBID',
  serverName: 'NBID',
  version: '2.15.1',
  go: 'go1.27.2',
  host: '127.0.0.1',
  port: 24222,
  headers: true,
  maxPayload: 1048576,
  clientId: 5,
  clientIp: '127.0.0.1',
  apiLevel: 5,
  xkey: 'XBKEY',
};

test('is what nats-server sends first', () => {
  expect(infoLine(first)).toBe(
    'INFO {"server_id":"NBID","server_name":"NBID","version":"2.15.1","proto":1,"go":"go1.27.2","host":"127.0.0.1",' +
      '"port":24222,"headers":true,"max_payload":1048576,"client_id":5,"client_ip":"127.0.0.1","api_lvl":5,"xkey":"XBKEY"} \r\n',
  );
});

test('has all keys in order', () => {
  const all: Required<InfoFields> = {
    ...first,
    gitCommit: 'abcdef0',
    authRequired: true,
    tlsRequired: true,
    tlsVerify: true,
    tlsAvailable: true,
    jetstream: true,
    clientId: 5,
    clientIp: 'x',
    nonce: 'n',
    cluster: 'c',
    domain: 'd',
    connectUrls: ['a:1', 'b:2'],
    lameDuckMode: true,
    connectInfo: true,
    remoteAccount: '$G',
    accountIsSystem: true,
    apiLevel: 5,
    xkey: 'X',
  };
  const info = JSON.parse(buildInfo(all)) as Record<string, unknown>;
  expect(Object.keys(info).join(' ')).toBe(
    'server_id server_name version proto git_commit go host port headers auth_required tls_required tls_verify ' +
      'tls_available max_payload jetstream client_id client_ip nonce cluster domain connect_urls ldm connect_info ' +
      'remote_account acc_is_sys api_lvl xkey',
  );
  expect(info.connect_urls).toEqual(['a:1', 'b:2']);
});

test('leaves out what is empty, but not what is always there', () => {
  const info = JSON.parse(
    buildInfo({
      ...first,
      headers: false,
      port: 0,
      maxPayload: -1,
      authRequired: false,
      clientId: 0,
      clientIp: '',
      connectUrls: [],
      apiLevel: 0,
      xkey: '',
    }),
  ) as Record<string, unknown>;
  expect(Object.keys(info)).toEqual([
    'server_id',
    'server_name',
    'version',
    'proto',
    'go',
    'host',
    'port',
    'headers',
    'max_payload',
  ]);
  expect(info).toMatchObject({ headers: false, port: 0, max_payload: -1 });
});

test('escapes as nats-server does, and its line is in wire form', () => {
  expect(buildInfo({ ...first, serverName: 'a<b>&\u2028"\u00e9' })).toContain(
    '"server_name":"a\\u003cb\\u003e\\u0026\\u2028\\"\u00e9"',
  );
  const line = infoLine({ ...first, serverName: '\u00e9' });
  expect(Buffer.from(line, 'latin1').toString('utf8')).toContain('"server_name":"\u00e9"');
});
