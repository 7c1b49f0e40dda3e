/**
 * Keeps the fuzzed code from talking to other machines: a mutated URL may name any.
 *
 * @module
 */
import { Socket } from "node:net";

type Options = { path?: string; host?: string };

/** From now on sockets of this process connect only to this machine. */
export function allowLoopbackOnly(): void {
  const connect = Socket.prototype.connect as (this: Socket, ...given: unknown[]) => Socket;
  Socket.prototype.connect = function (this: Socket, ...given: unknown[]): Socket {
    const [first] = given;
    const options = (Array.isArray(first) ? first[0] : first) as Options;
    const host = options.host ?? "localhost";
    if (options.path !== undefined || host === "localhost" || host === "::1" || host === "127.0.0.1") {
      return connect.apply(this, given);
    }
    queueMicrotask(() => this.destroy(Object.assign(new Error(`connect to ${host} refused`), { code: "ENETUNREACH" })));
    return this;
  } as typeof Socket.prototype.connect;
}
