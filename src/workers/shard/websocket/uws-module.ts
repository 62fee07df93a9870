import { createRequire } from 'node:module';

/** The parts of uWebSockets.js that natsd uses. Its package is optional, so its own types can't be relied on. */

export interface UwsSocket {
  /** @returns 1 sent, 0 queued, 2 dropped */
  send(message: Uint8Array, isBinary: boolean): number;
  getBufferedAmount(): number;
  /** @returns whether it did */
  subscribe(topic: string): boolean;
  end(code: number, text: string): void;
  close(): void;
  getUserData(): UwsUserData;
}

/** What the upgrade hands to the socket. */
export interface UwsUserData {
  accept(socket: UwsSocket): UwsHandlers;
  handlers: UwsHandlers | null;
}

export interface UwsHandlers {
  message(bytes: Uint8Array, isBinary: boolean): void;
  drained(): void;
  closed(): void;
}

export interface UwsResponse {
  cork(write: () => void): void;
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  end(body: string, close?: boolean): UwsResponse;
  getRemoteAddressAsText(): ArrayBuffer;
  onAborted(handler: () => void): UwsResponse;
  upgrade(data: UwsUserData, key: string, protocol: string, extensions: string, context: object): void;
}

export interface UwsRequest {
  getUrl(): string;
  getCaseSensitiveMethod(): string;
  getHeader(name: string): string;
  forEachHeader(visit: (name: string, value: string) => void): void;
}

export interface UwsBehavior {
  maxPayloadLength: number;
  idleTimeout: number;
  maxBackpressure: number;
  closeOnBackpressureLimit: boolean;
  sendPingsAutomatically: boolean;
  compression: number;
  upgrade(response: UwsResponse, request: UwsRequest, context: object): void;
  open(socket: UwsSocket): void;
  message(socket: UwsSocket, bytes: ArrayBuffer, isBinary: boolean): void;
  drain(socket: UwsSocket): void;
  close(socket: UwsSocket, code: number, text: ArrayBuffer): void;
}

export interface UwsApp {
  ws(pattern: string, behavior: UwsBehavior): UwsApp;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, listening: (socket: object | false) => void): UwsApp;
  /** Ends the listener and every connection at once. */
  close(): UwsApp;
}

export interface UwsModule {
  App(): UwsApp;
  /** The official package's names; unofficial builds have others. */
  us_listen_socket_close?(socket: object): void;
  us_socket_local_port?(socket: object): number;
  closeSocket?(socket: object): void;
  getSocketPort?(socket: object): number;
}

const UWS_PACKAGE = 'uWebSockets.js';

/** Loads the module. @throws when it isn't installed, or has no binary for this Node */
export function loadUws(): UwsModule {
  const module = createRequire(import.meta.url)(UWS_PACKAGE) as UwsModule;
  const closes = module.us_listen_socket_close ?? module.closeSocket;
  const tellsPort = module.us_socket_local_port ?? module.getSocketPort;
  if (typeof module.App !== 'function' || closes === undefined || tellsPort === undefined) {
    throw new Error(`this ${UWS_PACKAGE} lacks functions natsd needs`);
  }
  return module;
}

/** Stops listening; connections stay. */
export function closeListener(module: UwsModule, socket: object): void {
  (module.us_listen_socket_close ?? module.closeSocket)?.(socket);
}

/** Port a listener is bound to. */
export function listenerPort(module: UwsModule, socket: object): number {
  return (module.us_socket_local_port ?? module.getSocketPort)?.(socket) ?? 0;
}
