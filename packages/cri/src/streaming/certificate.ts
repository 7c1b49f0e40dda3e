/**
 * Key pairs of the streaming server.
 *
 * @module
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP, isIPv6 } from "node:net";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";

/** Certificate and key as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads a key pair from files.
 *
 * @throws ContainerdError `failed-precondition` when one cannot be read
 */
export async function readKeyPair(certFile: string, keyFile: string): Promise<KeyPair> {
  const [cert, key] = await Promise.all([certFile, keyFile].map(readText));
  return { cert: cert as string, key: key as string };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw failedPrecondition(`streaming server: read key pair: ${messageOf(error)}`, { cause: error });
  }
}

const dayMs = 24 * 60 * 60 * 1_000;
const validDays = 365;

/** DER tags (X.690) of what a certificate consists of. */
const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
  dnsName: 0x82,
  ipAddress: 0x87,
  version: 0xa0,
  extensions: 0xa3,
} as const;

/** Object ids in DER (RFC 5280, RFC 5758). */
const oid = {
  ecdsaWithSha256: "2a8648ce3d040302",
  organization: "55040a",
  commonName: "550403",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
} as const;

/**
 * Makes a key and a certificate of its own that names `hosts`, DNS names and IP addresses. Whoever connects cannot check
 * it: it keeps what is sent from listeners only.
 */
export function selfSignedCertificate(hosts: readonly string[], now: Date = new Date()): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(objectId(oid.ecdsaWithSha256));
  const name = sequence(attribute(oid.organization, "ctrd"), attribute(oid.commonName, hosts[0] ?? "localhost"));
  const toBeSigned = sequence(
    der(Tag.version, der(Tag.integer, Buffer.from([2]))),
    der(Tag.integer, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithm,
    name,
    sequence(time(now.getTime() - dayMs), time(now.getTime() + validDays * dayMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(Tag.extensions, sequence(...extensions(hosts))),
  );
  const signature = der(Tag.bitString, Buffer.from([0]), sign("sha256", toBeSigned, privateKey));
  return {
    cert: pem("CERTIFICATE", sequence(toBeSigned, algorithm, signature)),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function extensions(hosts: readonly string[]): Buffer[] {
  const names = hosts.map((host) =>
    isIP(host) === 0 ? der(Tag.dnsName, Buffer.from(host, "latin1")) : der(Tag.ipAddress, addressBytes(host)),
  );
  return [
    sequence(objectId(oid.subjectAltName), der(Tag.octetString, sequence(...names))),
    sequence(objectId(oid.extendedKeyUsage), der(Tag.octetString, sequence(objectId(oid.serverAuth)))),
    sequence(objectId(oid.basicConstraints), der(Tag.boolean, Buffer.from([0xff])), der(Tag.octetString, sequence())),
  ];
}

/** Bytes of an IP address. */
function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  // The URL parser writes any form of IPv6 as hexadecimal groups.
  const canonical = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const [start = "", end] = canonical.split("::");
  const groups = (text: string): string[] => text.split(":").filter((group) => group !== "");
  const [first, last] = [groups(start), groups(end ?? "")];
  const middle = Array.from({ length: 8 - first.length - last.length }, () => "0");
  return Buffer.from([...first, ...middle, ...last].map((group) => group.padStart(4, "0")).join(""), "hex");
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(Tag.sequence, ...parts);
}

function objectId(hex: string): Buffer {
  return der(Tag.objectId, Buffer.from(hex, "hex"));
}

function attribute(type: string, value: string): Buffer {
  return der(Tag.set, sequence(objectId(type), der(Tag.utf8, Buffer.from(value))));
}

function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+/, "").replace(/[-:T]/g, "");
  // Two digits of the year are the form for all years before 2050.
  return der(Tag.utcTime, Buffer.from(digits.slice(2), "latin1"));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
