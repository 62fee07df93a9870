import * as record from './records.ts';

/** The record that says who publishes the message behind it. @param client `ClientInfo` as JSON (jetstream-api §9) */
export function clientBytes(subjectHash: number, client: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(record.CLIENT_BYTES + client.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(record.CLIENT_HASH, subjectHash, true);
  view.setInt32(record.CLIENT_LENGTH, client.length, true);
  bytes.set(client, record.CLIENT_BYTES);
  return bytes;
}

/** Reads such a record at `offset`. */
export function readClient(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
): { subjectHash: number; client: string } {
  const start = offset + record.CLIENT_BYTES;
  const end = start + view.getInt32(offset + record.CLIENT_LENGTH, true);
  // A copy: the platform's decoders refuse shared memory.
  const client = Buffer.from(bytes.slice(start, end)).toString('utf8');
  return { subjectHash: view.getInt32(offset + record.CLIENT_HASH, true), client };
}
