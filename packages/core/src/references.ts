/**
 * Image references: `<host>/<path>[:<tag>][@<digest>]`.
 *
 * @module
 */
import { parseDigest } from "./digests.ts";
import { invalidArgument } from "./errors.ts";

/** A reference, taken apart. */
export interface Reference {
  /** Host with port, as it is written. */
  readonly host: string;
  /** Path of the repository on the host, without slash at its start. */
  readonly repository: string;
  /** Empty when there is none. */
  readonly tag: string;
  /** Empty when there is none. */
  readonly digest: string;
}

const component = String.raw`[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*`;
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const longest = 4096;

/**
 * Takes a full reference apart.
 *
 * @throws ContainerdError `invalid-argument` naming the part that is malformed
 */
export function parseReference(text: string): Reference {
  const wrong = (what: string): Error => invalidArgument(`image reference "${text.slice(0, 300)}": ${what}`);
  if (text.length > longest) throw wrong(`longer than ${longest} characters`);
  const slash = text.indexOf("/");
  if (slash <= 0) throw wrong("has no host; write <host>/<repository>, for example docker.io/library/busybox:latest");
  const host = text.slice(0, slash);
  if (!hostPattern.test(host)) throw wrong(`"${host}" is not a host`);
  const [path = "", digest = "", ...more] = text.slice(slash + 1).split("@");
  if (more.length > 0) throw wrong("has more than one @");
  if (text.includes("@")) checkDigest(digest, wrong);
  const colon = path.indexOf(":");
  const repository = colon < 0 ? path : path.slice(0, colon);
  const tag = colon < 0 ? "" : path.slice(colon + 1);
  if (!repositoryPattern.test(repository)) throw wrong(`"${repository}" is not the path of a repository`);
  if (colon >= 0 && !tagPattern.test(tag)) throw wrong(`"${tag}" is not a tag`);
  return { host, repository, tag, digest };
}

/** A full reference as text. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === "" ? "" : `:${tag}`}${digest === "" ? "" : `@${digest}`}`;
}

/**
 * Completes what people type: `busybox` → `docker.io/library/busybox:latest`.
 *
 * @throws ContainerdError `invalid-argument` as {@link parseReference}
 */
export function completeReference(text: string): string {
  const located = beginsWithHost(text) ? text : `docker.io/${text.includes("/") ? "" : "library/"}${text}`;
  const withHost = located.replace(/^(?:index\.)?docker\.io\/(?=[^/]+$)/, "docker.io/library/");
  const reference = parseReference(withHost.replace(/^index\.docker\.io\//, "docker.io/"));
  const tag = reference.tag === "" && reference.digest === "" ? "latest" : reference.tag;
  return formatReference({ ...reference, tag });
}

/** Whether what comes before the first slash is a host, as Docker tells hosts from paths. */
function beginsWithHost(text: string): boolean {
  const first = text.slice(0, Math.max(0, text.indexOf("/")));
  return first === "localhost" || /[.:\]]|[A-Z]/.test(first);
}

function checkDigest(digest: string, wrong: (what: string) => Error): void {
  try {
    parseDigest(digest);
  } catch (error) {
    throw invalidArgument(wrong(`"${digest}" is not a digest`).message, { cause: error });
  }
}

/**
 * The short form that Docker shows: `docker.io/library/busybox:1` → `busybox:1`. Where it would mean another image, the
 * reference as it is.
 */
export function shortReference(text: string): string {
  const short = text.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, "");
  return beginsWithHost(short) ? text : short;
}
