import { expect, test } from 'vitest';
import { encodeJson } from '../../../../src/main/monitor/format.ts';
import { decodeHealthz, renderHealthz } from '../../../../src/main/monitor/healthz.ts';
import { Parameters } from '../../../../src/main/monitor/parameters.ts';
import type { HealthFailure } from '../../../../src/main/monitor/source.ts';
import { RecordingLogger } from '../recording-logger.ts';
import { SampleSource } from './sample-source.ts';

async function ask(query: string, change: (source: SampleSource) => void = () => {}) {
  const source = new SampleSource();
  change(source);
  const logger = new RecordingLogger();
  const answer = await renderHealthz(source, decodeHealthz(new Parameters(query)), logger);
  return { status: answer.status, body: encodeJson(answer.body, ''), log: logger.lines };
}

const OK = { status: 200, body: '{"status":"ok"}', log: [] };
const meta: HealthFailure = {
  type: 'JETSTREAM',
  status: 503,
  error: 'JetStream is still recovering meta layer',
};
const missing: HealthFailure = {
  type: 'STREAM',
  status: 404,
  error: 'JetStream stream "s" not found on account "a"',
  account: 'a',
  stream: 's',
};

test('healthy, with and without details', async () => {
  expect(await ask('')).toEqual(OK);
  expect(await ask('details=1')).toEqual(OK);
});

test('an incomplete selection is a bad request', async () => {
  expect(await ask('stream=x')).toEqual({
    status: 400,
    body: '{"status":"error","error":"\\"account\\" must not be empty when checking stream health"}',
    log: ['warn Healthcheck failed: "\\"account\\" must not be empty when checking stream health"'],
  });
  expect(await ask('consumer=x&account=a')).toMatchObject({
    status: 400,
    body: '{"status":"error","error":"\\"stream\\" must not be empty when checking consumer health"}',
  });
  expect(await ask('details=1&stream=x')).toEqual({
    status: 400,
    body: '{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\\"account\\" must not be empty when checking stream health"}]}',
    log: ['warn Healthcheck failed: 1 errors'],
  });
});

test('listeners that are not up', async () => {
  const answer = await ask('', (source) => {
    source.unready = ['server', 'websocket(address in use)'];
  });
  expect(answer).toMatchObject({
    status: 500,
    body: '{"status":"error","error":"failed to be ready for connections after 1ms: server, websocket(address in use)"}',
  });
});

test('the deprecated name warns', async () => {
  expect((await ask('js-enabled=1')).log).toEqual([
    'warn Healthcheck: js-enabled deprecated, use js-enabled-only instead',
  ]);
});

test('JetStream that was switched off at run time', async () => {
  const disable = (source: SampleSource): void => {
    source.jetStreamIs = 'disabled';
  };
  expect(await ask('', disable)).toMatchObject({
    status: 503,
    body: '{"status":"unavailable","error":"JetStream not enabled (10076)"}',
  });
  expect(await ask('js-server-only=1', disable)).toEqual(OK);
});

test('each shortcut stops before the next check', async () => {
  const broken = (source: SampleSource): void => {
    source.jetStreamIs = 'enabled';
    source.meta = [meta];
  };
  expect(await ask('js-enabled-only=1', broken)).toEqual(OK);
  expect(await ask('', broken)).toMatchObject({
    status: 503,
    body: '{"status":"unavailable","error":"JetStream is still recovering meta layer"}',
  });
  const assetsBroken = (source: SampleSource): void => {
    source.jetStreamIs = 'enabled';
    source.assets = [missing];
  };
  expect(await ask('js-meta-only=1', assetsBroken)).toEqual(OK);
  expect(await ask('account=a&stream=s', assetsBroken)).toMatchObject({
    status: 404,
    body: '{"status":"unavailable","error":"JetStream stream \\"s\\" not found on account \\"a\\""}',
  });
  expect(await ask('details=1&account=a&stream=s', assetsBroken)).toMatchObject({
    status: 404,
    body: '{"status":"error","errors":[{"type":"STREAM","account":"a","stream":"s","error":"JetStream stream \\"s\\" not found on account \\"a\\""}]}',
  });
});
