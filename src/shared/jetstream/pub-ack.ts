/** Replies to publishers (jetstream-streams §3.1), byte for byte as nats-server writes them. */
import type { ApiError } from './errors.ts';
import { JsonObject, jsonString } from './json-object.ts';
import type { Stream } from './stream.ts';

/** An error as a JSON object. */
export function errorJson(error: ApiError): string {
  return new JsonObject()
    .integer('code', error.code)
    .integer('err_code', error.errCode)
    .string('description', error.description)
    .end();
}

/** @param more further members, each with a comma in front */
export function ackText(stream: Stream, sequence: number, more = ''): string {
  return `${stream.ackPrefix}"seq":${sequence}${more}}`;
}

/** The blank is nats-server's. */
export const DUPLICATE_MEMBER = ',"duplicate": true';

export function counterMember(total: bigint): string {
  return `,"val":"${total}"`;
}

export function batchMembers(id: string, count: number): string {
  return `,"batch":${jsonString(id)},"count":${count}`;
}

/** Without the domain, unlike an acknowledgement. */
export function refusalText(stream: Stream, error: ApiError): string {
  return `{"error":${errorJson(error)},"stream":${jsonString(stream.name)},"seq":0}`;
}
