/**
 * The volumes of a container that is being made.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import type { Mount, SpecContext, SpecOption } from "@ctrd/oci";
import { bindMount, withMounts } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { copyUp } from "./copy-up.ts";
import type { MountFlags, MountRequest, VolumeRequest } from "./mounts.ts";
import { cleanDestination, isVolume, parseMounts } from "./mounts.ts";
import { volumesOf } from "./session-volumes.ts";
import type { Volume, VolumeStore } from "./store.ts";

/** What a container mounts. Disposing lets others remove volumes again; without {@link keep} it removes new ones. */
export class ContainerVolumes implements AsyncDisposable {
  readonly #store: VolumeStore;
  readonly #requests: readonly MountRequest[];
  readonly #made: Volume[] = [];
  #lock: AsyncDisposable | undefined;
  #isKept = false;

  private constructor(session: Session, requests: readonly MountRequest[]) {
    [this.#store, this.#requests] = [volumesOf(session), requests];
  }

  /** Reads the flags. @throws CommandFailure that names the flag */
  static async parse(session: Session, flags: MountFlags): Promise<ContainerVolumes> {
    return new ContainerVolumes(session, await parseMounts(flags));
  }

  /**
   * Adds the mounts, and makes and fills the volumes for that. @param imageConfig the image's `config`, whose `Volumes`
   * get one of their own each where nothing is mounted
   */
  option(imageConfig: () => Promise<unknown>): SpecOption {
    return async (context, spec) => {
      const requests = [...this.#requests, ...missingVolumes(await imageConfig(), this.#requests)];
      if (requests.some(isVolume)) this.#lock ??= await this.#store.lock("shared", context.signal);
      const mounts: Mount[] = [];
      for (const request of requests) mounts.push(isVolume(request) ? await this.#mount(context, request) : request);
      // What is inside another mount comes after that.
      const depth = ({ destination }: Mount): number => destination.split("/").length;
      await withMounts(...mounts.toSorted((a, b) => depth(a) - depth(b)))(context, spec);
    };
  }

  async #mount(context: SpecContext, request: VolumeRequest): Promise<Mount> {
    const { volume, isNew } = await this.#store.create(request.volume);
    if (isNew) this.#made.push(volume);
    if (request.copy) await this.#fill(context, request, volume);
    const { destination, readonly, options } = request;
    return bindMount(volume.data, destination, { readonly, options });
  }

  async #fill({ withRootfs, signal }: SpecContext, { destination }: VolumeRequest, volume: Volume): Promise<void> {
    await using _lock = await this.#store.lockVolume(volume, signal);
    if ((await readdir(volume.data)).length > 0) return;
    if (withRootfs === undefined) {
      throw new CommandFailure(`cannot look what the image has for volume "${volume.name}"`, {
        remedy: `run this as root on the daemon's machine, or use -v ${volume.name}:${destination}:nocopy`,
      });
    }
    await withRootfs((rootfs) => copyUp({ rootfs, path: destination, data: volume.data }, signal));
  }

  /** The container is there, and with it what uses the volumes. */
  keep(): void {
    this.#isKept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock?.[Symbol.asyncDispose]();
    this.#lock = undefined;
    if (this.#isKept) return;
    for (const { name, isAnonymous } of this.#made) if (isAnonymous) await this.#store.remove(name);
  }
}

/** Requests for the volumes of an image in whose places nothing else is mounted. */
function missingVolumes(config: unknown, requests: readonly MountRequest[]): VolumeRequest[] {
  const volumes = typeof config === "object" && config !== null ? (config as { Volumes?: unknown }).Volumes : undefined;
  if (typeof volumes !== "object" || volumes === null) return [];
  const taken = new Set(requests.map(({ destination }) => destination));
  const missing: VolumeRequest[] = [];
  for (const path of Object.keys(volumes)) {
    const destination = cleanDestination(`VOLUME ${path} of the image`, path.startsWith("/") ? path : `/${path}`);
    if (taken.has(destination)) continue;
    taken.add(destination);
    missing.push({ volume: undefined, destination, readonly: false, copy: true, options: [] });
  }
  return missing;
}
