/**
 * Documents of the Container Device Interface: what a vendor says that a container needs to use its devices.
 *
 * They are the host's configuration, written by root. They are checked for shape, so that a mistake is named here and
 * not by the runtime.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { invalidArgument, messageOf, resourceExhausted } from "@ctrd/core/errors";
import { namesIn } from "@ctrd/sys";
import { parse as parseYaml } from "yaml";

/** A device node in CDI terms: what is absent is taken from the host. */
export interface CdiDeviceNode {
  path: string;
  hostPath?: string;
  type?: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  permissions?: string;
  uid?: number;
  gid?: number;
}

/** What is changed in a container. */
export interface CdiEdits {
  env?: string[];
  deviceNodes?: CdiDeviceNode[];
  mounts?: { hostPath: string; containerPath: string; type?: string; options?: string[] }[];
  hooks?: { hookName: string; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids?: number[];
  intelRdt?: { closID?: string; l3CacheSchema?: string; memBwSchema?: string };
}

/** One document. */
export interface CdiDocument {
  /** Its file. */
  readonly file: string;
  /** `vendor.example/class` */
  readonly kind: string;
  readonly edits: CdiEdits;
  /** By device name. */
  readonly devices: ReadonlyMap<string, CdiEdits>;
}

const maxDocumentBytes = 4 << 20;

/** Reads the `.json`, `.yaml` and `.yml` documents of a directory; one that is not there has none. */
export async function readCdiDirectory(directory: string): Promise<CdiDocument[]> {
  const files = (await namesIn(directory))
    .filter((name) => [".json", ".yaml", ".yml"].includes(extname(name)))
    .toSorted();
  return Promise.all(files.map((name) => readDocument(join(directory, name))));
}

async function readDocument(file: string): Promise<CdiDocument> {
  const { size } = await stat(file);
  if (size > maxDocumentBytes) {
    throw resourceExhausted(`CDI document "${file}" has ${size} bytes, the limit is ${maxDocumentBytes}`);
  }
  const text = await readFile(file, "utf8");
  let value: unknown;
  try {
    value = extname(file) === ".json" ? JSON.parse(text) : parseYaml(text);
  } catch (cause) {
    throw invalidArgument(`CDI document "${file}" cannot be parsed: ${messageOf(cause)}`, { cause });
  }
  return new DocumentReader(file).document(value);
}

type Fields = Readonly<Record<string, unknown>>;

/** Checks a document part by part. Errors name the file and the part. */
class DocumentReader {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  document(value: unknown): CdiDocument {
    const fields = this.#object("the document", value);
    const version = this.#string("cdiVersion", fields["cdiVersion"]);
    if (!/^v?[01]\.\d+(\.\d+)?/.test(version)) throw this.#bad(`cdiVersion "${version}"`, "0.x or 1.x");
    const kind = this.#string("kind", fields["kind"]);
    if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w-]*$/.test(kind)) throw this.#bad(`kind "${kind}"`, "vendor/class");
    const devices = new Map<string, CdiEdits>();
    for (const item of this.#list("devices", fields["devices"])) {
      const device = this.#object("devices", item);
      const name = this.#string("devices.name", device["name"]);
      if (devices.has(name)) throw this.#bad(`device "${name}"`, "there only once");
      devices.set(name, this.#edits(device["containerEdits"]));
    }
    return { file: this.#file, kind, edits: this.#edits(fields["containerEdits"]), devices };
  }

  #edits(value: unknown): CdiEdits {
    const fields = this.#object("containerEdits", value ?? {});
    const edits: CdiEdits = {
      env: this.#strings("env", fields["env"]),
      deviceNodes: this.#list("deviceNodes", fields["deviceNodes"]).map((item) => this.#deviceNode(item)),
      mounts: this.#list("mounts", fields["mounts"]).map((item) => this.#mount(item)),
      hooks: this.#list("hooks", fields["hooks"]).map((item) => this.#hook(item)),
      additionalGids: this.#list("additionalGids", fields["additionalGids"]).map((gid) =>
        this.#number("additionalGids", gid),
      ),
    };
    if (fields["intelRdt"] !== undefined) edits.intelRdt = this.#rdt(fields["intelRdt"]);
    return edits;
  }

  #deviceNode(value: unknown): CdiDeviceNode {
    const fields = this.#object("deviceNodes", value);
    const node: CdiDeviceNode = { path: this.#string("deviceNodes.path", fields["path"]) };
    for (const key of ["hostPath", "type", "permissions"] as const) {
      if (fields[key] !== undefined) node[key] = this.#string(`deviceNodes.${key}`, fields[key]);
    }
    for (const key of ["major", "minor", "fileMode", "uid", "gid"] as const) {
      if (fields[key] !== undefined) node[key] = this.#number(`deviceNodes.${key}`, fields[key]);
    }
    return node;
  }

  #mount(value: unknown): NonNullable<CdiEdits["mounts"]>[number] {
    const fields = this.#object("mounts", value);
    return {
      hostPath: this.#string("mounts.hostPath", fields["hostPath"]),
      containerPath: this.#string("mounts.containerPath", fields["containerPath"]),
      options: this.#strings("mounts.options", fields["options"]),
      ...(fields["type"] === undefined ? {} : { type: this.#string("mounts.type", fields["type"]) }),
    };
  }

  #hook(value: unknown): NonNullable<CdiEdits["hooks"]>[number] {
    const fields = this.#object("hooks", value);
    return {
      hookName: this.#string("hooks.hookName", fields["hookName"]),
      path: this.#string("hooks.path", fields["path"]),
      args: this.#strings("hooks.args", fields["args"]),
      env: this.#strings("hooks.env", fields["env"]),
      ...(fields["timeout"] === undefined ? {} : { timeout: this.#number("hooks.timeout", fields["timeout"]) }),
    };
  }

  #rdt(value: unknown): NonNullable<CdiEdits["intelRdt"]> {
    const fields = this.#object("intelRdt", value);
    const rdt: NonNullable<CdiEdits["intelRdt"]> = {};
    for (const key of ["closID", "l3CacheSchema", "memBwSchema"] as const) {
      if (fields[key] !== undefined) rdt[key] = this.#string(`intelRdt.${key}`, fields[key]);
    }
    return rdt;
  }

  #object(what: string, value: unknown): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.#bad(what, "an object");
    return value as Fields;
  }

  #list(what: string, value: unknown): readonly unknown[] {
    const list = value ?? [];
    if (!Array.isArray(list)) throw this.#bad(what, "a list");
    return list;
  }

  #strings(what: string, value: unknown): string[] {
    return this.#list(what, value).map((item) => this.#string(what, item));
  }

  #string(what: string, value: unknown): string {
    if (typeof value !== "string" || value === "" || value.includes("\0")) throw this.#bad(what, "a text");
    return value;
  }

  #number(what: string, value: unknown): number {
    if (!Number.isInteger(value) || (value as number) < 0) throw this.#bad(what, "a whole number");
    return value as number;
  }

  #bad(what: string, wanted: string): Error {
    return invalidArgument(`CDI document "${this.#file}": ${what} is not ${wanted}`);
  }
}
