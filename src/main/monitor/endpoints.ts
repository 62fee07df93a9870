/**
 * The endpoints by path. Counting for `http_req_stats` follows nats-server: at the beginning of a request, but for
 * /connz after its parameters were decoded.
 */

import type { Logger } from '../log/logger.ts';
import { decodeConnz, renderConnz } from './connz.ts';
import { encodeJson, type JsonValue } from './format.ts';
import { decodeHealthz, renderHealthz } from './healthz.ts';
import { decodeJsz, NO_DETAILS, renderJsz } from './jsz.ts';
import type { Parameters } from './parameters.ts';
import { renderRootPage } from './root-page.ts';
import type { MonitorSource } from './source.ts';
import { decodeSubsz, renderSubsz } from './subsz.ts';
import { type MonitorFacts, renderVarz } from './varz.ts';

/** What goes out: the server adds length and date. */
export interface EndpointAnswer {
  status: number;
  contentType: string;
  allowsAnyOrigin: boolean;
  body: string;
}

export interface EndpointContext {
  source: MonitorSource;
  logger: Logger;
  /** `/nats`, or empty. */
  basePath: string;
  natsdVersion: string;
  requestCounts: Map<string, number>;
  facts(): MonitorFacts;
}

/** Answers one request. Throws ParameterError, which becomes status 400. */
export type Endpoint = (context: EndpointContext, parameters: Parameters) => Promise<EndpointAnswer>;

/** Paths without base path. */
export const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map<string, Endpoint>([
  ['/', root],
  ['/varz', varz],
  ['/jsz', jsz],
  ['/connz', connz],
  ['/subsz', subsz],
  ['/subscriptionsz', subsz],
  ['/healthz', healthz],
]);

const JSON_TYPE = 'application/json';
const INDENT = '  ';

async function root(context: EndpointContext): Promise<EndpointAnswer> {
  count(context, '/');
  const { basePath, natsdVersion } = context;
  const body = renderRootPage({ basePath, natsdVersion, version: context.source.identity().version });
  return { status: 200, contentType: 'text/html; charset=utf-8', allowsAnyOrigin: false, body };
}

async function varz(context: EndpointContext): Promise<EndpointAnswer> {
  count(context, '/varz');
  const { source } = context;
  const jetStream = await source.jetStream(NO_DETAILS);
  return indented(renderVarz(source, context.facts(), jetStream));
}

async function jsz(context: EndpointContext, parameters: Parameters): Promise<EndpointAnswer> {
  count(context, '/jsz');
  return indented(await renderJsz(context.source, decodeJsz(parameters)));
}

async function connz(context: EndpointContext, parameters: Parameters): Promise<EndpointAnswer> {
  const request = decodeConnz(parameters);
  count(context, '/connz');
  return indented(await renderConnz(context.source, request));
}

async function subsz(context: EndpointContext, parameters: Parameters): Promise<EndpointAnswer> {
  count(context, '/subsz');
  return indented(await renderSubsz(context.source, decodeSubsz(parameters)));
}

async function healthz(context: EndpointContext, parameters: Parameters): Promise<EndpointAnswer> {
  count(context, '/healthz');
  const answer = await renderHealthz(context.source, decodeHealthz(parameters), context.logger);
  return {
    status: answer.status,
    contentType: JSON_TYPE,
    allowsAnyOrigin: true,
    body: encodeJson(answer.body, ''),
  };
}

function indented(value: JsonValue): EndpointAnswer {
  return { status: 200, contentType: JSON_TYPE, allowsAnyOrigin: true, body: encodeJson(value, INDENT) };
}

function count(context: EndpointContext, path: string): void {
  context.requestCounts.set(path, (context.requestCounts.get(path) ?? 0) + 1);
}
