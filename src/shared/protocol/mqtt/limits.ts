/** Bounds of MQTT that are no options. */

/**
 * Longest CONNECT: five fields of 65,535 bytes with room for properties. Nothing else is read from a client that isn't
 * logged in.
 */
export const CONNECT_MAX_BYTES = 384 * 1024;
/** What a packet may have besides a payload of `max_payload`: topic and properties. */
export const PACKET_HEAD_MAX_BYTES = 192 * 1024;
/** Topic aliases a client may set. */
export const TOPIC_ALIAS_MAX = 32;
/** Topic aliases the server sets for a client, if it allows that many. */
export const OUTGOING_ALIAS_MAX = 32;
/** QoS 1 and 2 publishes of one client that may wait for the disk: the Receive Maximum of the server. */
export const RECEIVE_MAXIMUM = 1024;
