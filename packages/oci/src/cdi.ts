/**
 * Devices by the names that their vendors gave them (Container Device Interface), as `vendor.example/class=name`.
 *
 * @module
 */
import { failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import type { CdiDeviceNode, CdiDocument, CdiEdits } from "./cdi-spec.ts";
import { readCdiDirectory } from "./cdi-spec.ts";
import type { SpecOption } from "./context.ts";
import { linuxOf, processOf, resourcesOf } from "./context.ts";
import { hostDevice, ruleOf } from "./devices.ts";
import { mergeEnvironment } from "./environment.ts";
import { addHooks } from "./isolation.ts";
import { requireAbsolute } from "./paths.ts";
import type { HookName, Spec } from "./spec.ts";
import type { Device } from "./spec-linux.ts";

/** Where documents are. A later directory wins over an earlier one. */
export const defaultCdiDirectories: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

const hookNames: ReadonlySet<string> = new Set<HookName>([
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
]);

/**
 * Adds CDI devices by their qualified names. The edits of a document itself are made once, before those of its devices.
 *
 * @throws ContainerdError `not-found` for an unknown device, `failed-precondition` when two documents of one directory
 * define it, `invalid-argument` for a malformed name or document
 */
export function withCdiDevices(
  names: readonly string[],
  directories: readonly string[] = defaultCdiDirectories,
): SpecOption {
  const wanted = [...new Set(names)].map(parseName);
  return async (context, spec) => {
    const edited = new Set<CdiDocument>();
    const read = await Promise.all(directories.map((directory) => readCdiDirectory(directory)));
    for (const { kind, name } of wanted) {
      const document = findDocument(read, kind, name);
      if (document === undefined) {
        throw notFound(`CDI device "${kind}=${name}" in the documents of ${directories.join(", ")}`);
      }
      if (!edited.has(document)) await applyEdits(spec, document.edits);
      edited.add(document);
      await applyEdits(spec, document.devices.get(name) ?? {});
    }
    context.signal.throwIfAborted();
  };
}

function parseName(text: string): { kind: string; name: string } {
  const match = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w-]*)=([A-Za-z0-9][\w.:-]*)$/.exec(text);
  if (match === null) throw invalidArgument(`CDI device "${text}" is malformed (vendor.example/class=name)`);
  return { kind: match[1] ?? "", name: match[2] ?? "" };
}

function findDocument(
  directories: readonly (readonly CdiDocument[])[],
  kind: string,
  name: string,
): CdiDocument | undefined {
  for (const documents of directories.toReversed()) {
    const [found, other] = documents.filter((document) => document.kind === kind && document.devices.has(name));
    if (other !== undefined) {
      throw failedPrecondition(
        `CDI device "${kind}=${name}" is defined twice, by "${found?.file}" and "${other.file}" (remove one)`,
      );
    }
    if (found !== undefined) return found;
  }
  return undefined;
}

async function applyEdits(spec: Spec, edits: CdiEdits): Promise<void> {
  const process = processOf(spec);
  if (edits.env?.length) process.env = mergeEnvironment(process.env ?? [], edits.env);
  for (const node of edits.deviceNodes ?? []) await addDevice(spec, node);
  for (const { hostPath, containerPath, type = "bind", options = ["rbind"] } of edits.mounts ?? []) {
    requireAbsolute("CDI mount", containerPath);
    (spec.mounts ??= []).push({ destination: containerPath, type, source: hostPath, options: [...options] });
  }
  for (const { hookName, ...hook } of edits.hooks ?? []) {
    if (!isHookName(hookName)) throw invalidArgument(`CDI hook "${hookName}" is none of ${[...hookNames].join(", ")}`);
    addHooks(spec, hookName, [hook]);
  }
  const gids = (edits.additionalGids ?? []).filter((gid) => gid !== 0);
  if (gids.length > 0) {
    process.user.additionalGids = [...new Set([...(process.user.additionalGids ?? []), ...gids])];
  }
  if (edits.intelRdt !== undefined) linuxOf(spec).intelRdt = { ...edits.intelRdt };
}

async function addDevice(spec: Spec, node: CdiDeviceNode): Promise<void> {
  const { path, hostPath = path, permissions = "rwm", type: typeText, ...given } = node;
  requireAbsolute("CDI device", path);
  const base =
    typeText !== undefined && (typeText === "p" || (given.major !== undefined && given.minor !== undefined))
      ? { path, type: deviceType(typeText) }
      : await hostDevice(hostPath, path);
  // A node without an owner is made for whom the process runs as.
  const { uid, gid } = processOf(spec).user;
  const device: Device = { ...base, uid, gid, ...given };
  const linux = linuxOf(spec);
  linux.devices = [...(linux.devices ?? []).filter((other) => other.path !== path), device];
  if (device.type === "p") return;
  (resourcesOf(spec).devices ??= []).push(ruleOf(device, permissions));
}

function deviceType(text: string): Device["type"] {
  if (text === "c" || text === "u" || text === "b" || text === "p") return text;
  throw invalidArgument(`CDI device type "${text}" is none of b, c, u, p`);
}

function isHookName(text: string): text is HookName {
  return hookNames.has(text);
}
