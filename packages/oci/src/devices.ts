/**
 * Devices of the host in the container.
 *
 * @module
 */
import type { Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { posix } from "node:path";
import { errnoOf, invalidArgument, messageOf, notFound } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { linuxOf, resourcesOf } from "./context.ts";
import { requireAbsolute } from "./paths.ts";
import type { Device, DeviceRule } from "./spec-linux.ts";

/** Directories below /dev that have no devices to pass on, or get their own in a container. */
const skippedDirectories = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** A device to pass on. */
export interface DeviceRequest {
  /** A device, a link to one, or a directory of them. */
  hostPath: string;
  /** Where it is in the container; the same path when absent. */
  containerPath?: string;
  /** Of `r`, `w` and `m` (mknod); all when absent. */
  permissions?: string;
}

/** Reads `/dev/x[:/dev/y][:rwm]`, as users write it on a command line. */
export function parseDevice(text: string): DeviceRequest {
  const [hostPath = "", ...rest] = text.split(":");
  const permissions = rest.length > 0 && isPermissions(rest.at(-1) ?? "") ? rest.pop() : undefined;
  const [containerPath, ...more] = rest;
  const absolute = [hostPath, containerPath ?? "/"].every((path) => posix.isAbsolute(path));
  if (more.length > 0 || !absolute) throw invalidArgument(`device "${text}" is malformed (/dev/x[:/dev/y][:rwm])`);
  const request = { hostPath, ...(containerPath === undefined ? {} : { containerPath }) };
  return permissions === undefined ? request : { ...request, permissions };
}

/** Passes on a device, or every device of a directory. */
export function withDevice(request: DeviceRequest): SpecOption {
  const { hostPath, containerPath = hostPath, permissions = "rwm" } = request;
  requireAbsolute("device", hostPath);
  requireAbsolute("device", containerPath);
  if (!isPermissions(permissions)) throw invalidArgument(`device permissions "${permissions}" are not of r, w and m`);
  return async (_context, spec) => {
    const found = await devicesAt(hostPath, containerPath);
    (linuxOf(spec).devices ??= []).push(...found);
    (resourcesOf(spec).devices ??= []).push(...found.map((device) => ruleOf(device, permissions)));
  };
}

/** Passes on every device of the host. Their use must be allowed as well: see {@link withAllDevicesAllowed}. */
export function withHostDevices(): SpecOption {
  return async (_context, spec) => {
    (linuxOf(spec).devices ??= []).push(...(await walk("/dev", "/dev")));
  };
}

/** Allows the use of every device, in place of the rules so far. */
export function withAllDevicesAllowed(): SpecOption {
  return (_context, spec) => {
    resourcesOf(spec).devices = [{ allow: true, access: "rwm" }];
  };
}

/** A device as the host has it, at another path. @throws ContainerdError when it is missing or no device */
export async function hostDevice(hostPath: string, containerPath: string): Promise<Device> {
  const device = deviceFrom(await statusOf(hostPath), containerPath);
  if (device === undefined) throw invalidArgument(`"${hostPath}" is not a device`);
  return device;
}

/** The cgroup rule that allows a device. */
export function ruleOf(device: Device, access: string): DeviceRule {
  const rule: DeviceRule = { allow: true, type: device.type, access };
  if (device.major !== undefined) rule.major = device.major;
  if (device.minor !== undefined) rule.minor = device.minor;
  return rule;
}

async function devicesAt(hostPath: string, containerPath: string): Promise<Device[]> {
  const status = await statusOf(hostPath);
  return status.isDirectory() ? walk(hostPath, containerPath) : [await hostDevice(hostPath, containerPath)];
}

/** Follows links: a path that the user names is often one (`/dev/disk/by-id/…`). */
async function statusOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") throw notFound(`device "${path}"`, { cause });
    throw invalidArgument(`device "${path}" cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The devices below a directory. Links are passed over: they name a device that is found anyway. */
async function walk(hostDir: string, containerDir: string): Promise<Device[]> {
  const found: Device[] = [];
  const names = (await readdir(hostDir)).toSorted();
  for (const name of names) {
    const [hostPath, containerPath] = [posix.join(hostDir, name), posix.join(containerDir, name)];
    const status = await lstat(hostPath).catch(ignoreMissing);
    if (status === undefined || name === "console") continue;
    if (status.isDirectory()) {
      if (!skippedDirectories.has(name)) found.push(...(await walk(hostPath, containerPath)));
      continue;
    }
    const device = deviceFrom(status, containerPath);
    if (device !== undefined && device.type !== "p") found.push(device);
  }
  return found;
}

/** A device may go between the listing and the look at it. */
function ignoreMissing(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
}

function deviceFrom(status: Stats, path: string): Device | undefined {
  const type = status.isCharacterDevice() ? "c" : status.isBlockDevice() ? "b" : status.isFIFO() ? "p" : undefined;
  if (type === undefined) return undefined;
  const { rdev, mode, uid, gid } = status;
  // As the kernel packs them: 12 bits of major between 8 and 12 bits of minor.
  const [major, minor] = [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)];
  return { path, type, major, minor, fileMode: mode & 0o7777, uid, gid };
}

function isPermissions(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}
