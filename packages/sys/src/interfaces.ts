/**
 * Network interfaces of the calling thread's network namespace.
 *
 * @module
 */
import { close } from "./at.ts";
import { check, native } from "./native.ts";

const nativeSocket = native("socket", "int", ["int", "int", "int"]);
const nativeIoctl = native("ioctl", "int", ["int", "ulong", "void *"]);

const [AF_INET, SOCK_DGRAM_CLOEXEC] = [2, 2 | 0o2000000];
const [SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCBRDELBR] = [0x8913, 0x8914, 0x89a1];
const IFF_UP = 1;
/** `struct ifreq`: a name of 16 bytes, then what the call is about. */
const requestSize = 40;
const nameSize = 16;

/** Brings an interface up or takes it down. @throws SysError `ENODEV` when there is none of that name */
export function setInterfaceUp(name: string, up = true): void {
  const request = interfaceRequest(name);
  withSocket((fd) => {
    check(nativeIoctl(fd, SIOCGIFFLAGS, request), "ioctl SIOCGIFFLAGS", name);
    const flags = request.readUInt16LE(nameSize);
    request.writeUInt16LE(up ? flags | IFF_UP : flags & ~IFF_UP, nameSize);
    check(nativeIoctl(fd, SIOCSIFFLAGS, request), "ioctl SIOCSIFFLAGS", name);
  });
}

/** Removes a bridge, which must be down. @throws SysError `ENXIO` when there is none of that name, `EBUSY` while it is up */
export function deleteBridge(name: string): void {
  const request = interfaceRequest(name);
  withSocket((fd) => check(nativeIoctl(fd, SIOCBRDELBR, request), "ioctl SIOCBRDELBR", name));
}

function interfaceRequest(name: string): Buffer {
  const request = Buffer.alloc(requestSize);
  // The last byte of the name stays NUL.
  if (Buffer.byteLength(name) >= nameSize) throw new RangeError(`interface name "${name}" is longer than 15 bytes`);
  request.write(name);
  return request;
}

function withSocket(use: (fd: number) => void): void {
  const fd = check(nativeSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0), "socket");
  try {
    use(fd);
  } finally {
    close(fd);
  }
}
