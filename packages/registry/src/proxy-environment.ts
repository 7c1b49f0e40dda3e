/**
 * Which proxy the environment names for a URL, by the rules of Go's programs, containerd among them.
 *
 * @module
 */
import { failedPrecondition } from "@ctrd/core/errors";
import { BlockList, isIP, isIPv6 } from "node:net";

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for requests to `target`: `HTTPS_PROXY` or `HTTP_PROXY`, in either case, unless `NO_PROXY` names the host. This
 * machine is never asked through a proxy.
 *
 * @returns undefined: without a proxy
 * @throws ContainerdError `failed-precondition` naming the variable whose value is no URL of a proxy
 */
export function proxyFor(target: URL, environment: Environment = process.env): URL | undefined {
  const name = target.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  // A web server's program gets a request's header "Proxy" in this variable.
  if (name === "HTTP_PROXY" && (environment["REQUEST_METHOD"] ?? "") !== "") return undefined;
  const text = valueOf(environment, name);
  if (text === "") return undefined;
  const proxy = parseProxy(name, text);
  return isDirect(target, valueOf(environment, "NO_PROXY")) ? undefined : proxy;
}

function valueOf(environment: Environment, name: string): string {
  return environment[name] || environment[name.toLowerCase()] || "";
}

function parseProxy(name: string, text: string): URL {
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url !== undefined && url.hostname !== "" && ["http:", "https:"].includes(url.protocol)) return url;
  // Its value may have a password in it.
  throw failedPrecondition(`the variable ${name} is no URL of a proxy; it must be like http://proxy.example:3128`);
}

/** Whether a host is asked without a proxy. */
function isDirect(target: URL, exceptions: string): boolean {
  const host = target.hostname
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "")
    .toLowerCase();
  const port = target.port === "" ? (target.protocol === "https:" ? "443" : "80") : target.port;
  if (host === "localhost" || isIn(host, loopback)) return true;
  return exceptions
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== "" && matches(entry, host, port));
}

/** `*`, an address, a network, or a domain, `.domain` and `*.domain` for those below it; `:port` may follow. */
function matches(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  const network = networkOf(entry);
  if (network !== undefined) return isIn(host, network);
  const [, name = entry, wantedPort] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const plain = name.replace(/^\[|\]$/g, "");
  if (isIP(plain) !== 0 || isIP(host) !== 0) return sameAddress(plain, host);
  const domain = plain.replace(/^\*(?=\.)/, "");
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

function networkOf(entry: string): BlockList | undefined {
  const [, address = "", bits = ""] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family === 4 ? "ipv4" : "ipv6");
  return list;
}

function sameAddress(one: string, other: string): boolean {
  if (isIP(one) === 0 || isIP(other) === 0) return false;
  const list = new BlockList();
  list.addAddress(one, isIPv6(one) ? "ipv6" : "ipv4");
  return isIn(other, list);
}

function isIn(host: string, list: BlockList): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? "ipv4" : "ipv6");
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");
