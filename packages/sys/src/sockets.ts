/**
 * Sockets: who is at the other end of a Unix one, systemd's notification socket, and TCP ones of a namespace.
 *
 * @module
 */
import { check, native } from "./native.ts";
import { close } from "./at.ts";

/** The process at the other end of a Unix stream socket, as it was when it connected. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

const nativeGetsockopt = native("getsockopt", "int", ["int", "int", "int", "void *", "void *"]);
const nativeSocket = native("socket", "int", ["int", "int", "int"]);
const nativeSendto = native("sendto", "long", ["int", "const char *", "size_t", "int", "void *", "uint"]);

/** Credentials of the peer of the Unix socket `fd`. */
export function peerCredentials(fd: number): PeerCredentials {
  const SOL_SOCKET = 1;
  const SO_PEERCRED = 17;
  const data = Buffer.alloc(12);
  const length = Buffer.from(Uint32Array.of(12).buffer);
  check(nativeGetsockopt(fd, SOL_SOCKET, SO_PEERCRED, data, length), "getsockopt SO_PEERCRED");
  return { pid: data.readInt32LE(0), uid: data.readUInt32LE(4), gid: data.readUInt32LE(8) };
}

/**
 * Tells the service manager `state` (`READY=1`, `STOPPING=1` …, lines) when it asked for it with `NOTIFY_SOCKET`.
 *
 * @returns whether it asked
 */
export function sdNotify(state: string): boolean {
  const address = process.env.NOTIFY_SOCKET ?? "";
  if (!address.startsWith("/") && !address.startsWith("@")) return false;
  const AF_UNIX = 1;
  const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
  const name = Buffer.from(address);
  const sockaddr = Buffer.alloc(2 + name.length + (address.startsWith("/") ? 1 : 0));
  sockaddr.writeUInt16LE(AF_UNIX, 0);
  name.copy(sockaddr, 2);
  // An abstract address begins with NUL instead of "@" and has no ending NUL.
  if (address.startsWith("@")) sockaddr[2] = 0;
  const fd = check(nativeSocket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0), "socket");
  try {
    const MSG_NOSIGNAL = 0x4000;
    const length = Buffer.byteLength(state);
    check(nativeSendto(fd, state, length, MSG_NOSIGNAL, sockaddr, sockaddr.length), "sendto", address);
  } finally {
    close(fd);
  }
  return true;
}

/**
 * A TCP socket that is not connected yet, close-on-exec and non-blocking. It belongs to the network namespace that the
 * calling thread is in, wherever it is used afterwards.
 */
export function tcpSocket(family: 4 | 6): number {
  const [AF_INET, AF_INET6] = [2, 10];
  const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
  return check(nativeSocket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM_CLOEXEC_NONBLOCK, 0), "socket");
}
