/**
 * /healthz: may this server get traffic? Source: spec "/healthz".
 *
 * The checks run in a fixed order; without `details` the first finding is the answer, with it all of them are listed.
 */

import type { Logger } from '../log/logger.ts';
import { type JsonValue, omitEmpty, quote } from './format.ts';
import type { Parameters } from './parameters.ts';
import type { HealthFailure, MonitorSource } from './source.ts';

export interface HealthzRequest {
  isServerOnly: boolean;
  isEnabledOnly: boolean;
  isMetaOnly: boolean;
  usesDeprecatedName: boolean;
  wantsDetails: boolean;
  account: string;
  stream: string;
  consumer: string;
}

export interface HealthzAnswer {
  status: number;
  body: JsonValue;
}

/** Throws ParameterError. */
export function decodeHealthz(parameters: Parameters): HealthzRequest {
  const usesDeprecatedName = parameters.boolean('js-enabled');
  return {
    usesDeprecatedName,
    isEnabledOnly: parameters.boolean('js-enabled-only') || usesDeprecatedName,
    isServerOnly: parameters.boolean('js-server-only'),
    isMetaOnly: parameters.boolean('js-meta-only'),
    wantsDetails: parameters.boolean('details'),
    account: parameters.text('account'),
    stream: parameters.text('stream'),
    consumer: parameters.text('consumer'),
  };
}

export async function renderHealthz(
  source: MonitorSource,
  request: HealthzRequest,
  logger: Logger,
): Promise<HealthzAnswer> {
  if (request.usesDeprecatedName) {
    logger.warn('Healthcheck: js-enabled deprecated, use js-enabled-only instead');
  }
  const failures = await findFailures(source, request);
  const first = failures[0];
  if (first === undefined) return { status: 200, body: { status: 'ok' } };
  if (request.wantsDetails) {
    logger.warn(`Healthcheck failed: ${failures.length} errors`);
    return { status: first.status, body: { status: 'error', errors: failures.map(renderFailure) } };
  }
  logger.warn(`Healthcheck failed: ${quote(first.error)}`);
  const isUnavailable = first.status === 503 || first.status === 404;
  return {
    status: first.status,
    body: { status: isUnavailable ? 'unavailable' : 'error', error: first.error },
  };
}

async function findFailures(source: MonitorSource, request: HealthzRequest): Promise<HealthFailure[]> {
  const { account, stream, consumer } = request;
  const incomplete = checkSelection(request);
  if (incomplete !== null) return [{ type: 'BAD_REQUEST', status: 400, error: incomplete }];
  const unready = source.unreadyListeners();
  if (unready.length > 0) {
    const error = `failed to be ready for connections after 1ms: ${unready.join(', ')}`;
    return [{ type: 'CONNECTION', status: 500, error }];
  }
  const state = source.jetStreamState();
  if (request.isServerOnly || state === 'off') return [];
  if (state === 'disabled') {
    return [{ type: 'JETSTREAM', status: 503, error: 'JetStream not enabled (10076)' }];
  }
  if (request.isEnabledOnly) return [];
  const meta = await source.metaFailures();
  if (meta.length > 0 || request.isMetaOnly) return meta;
  return source.assetFailures({ account, stream, consumer });
}

function checkSelection(request: HealthzRequest): string | null {
  if (request.account === '' && request.stream !== '') {
    return '"account" must not be empty when checking stream health';
  }
  if (request.stream === '' && request.consumer !== '') {
    return '"stream" must not be empty when checking consumer health';
  }
  return null;
}

function renderFailure(failure: HealthFailure): JsonValue {
  return {
    type: failure.type,
    account: omitEmpty(failure.account ?? ''),
    stream: omitEmpty(failure.stream ?? ''),
    consumer: omitEmpty(failure.consumer ?? ''),
    error: omitEmpty(failure.error),
  };
}
