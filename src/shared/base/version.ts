/** The nats-server release whose behaviour natsd implements; reported as `version` in INFO and /varz, since tools compare it. */
export const COMPATIBLE_VERSION = '2.15.1';
/** natsd's own release; the package's version is checked against it by a test. */
export const NATSD_VERSION = '0.1.0';
/** JetStream API level announced by nats-server 2.15. */
export const API_LEVEL = 5;
