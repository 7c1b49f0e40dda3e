/**
 * Documents of images, of registries' users and of networks.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createContext } from "@ctrd/core/context";
import { encodeResult, parseResult } from "../../../packages/cni/src/result.ts";
import { parseNetworkConfig } from "../../../packages/cni/src/config.ts";
import { pluginError } from "../../../packages/cni/src/plugin-error.ts";
import { MediaType, parseImageDocument, readRootfs } from "@ctrd/images";
import { parseImageConfig } from "@ctrd/oci";
import { dockerCredentials } from "@ctrd/registry";
import { tempDir } from "@ctrd/testkit/fixtures";
import { mutateJson } from "../mutate-json.ts";
import type { Target } from "../target.ts";
import { ensure, parsed, pure } from "../target.ts";
import { contentOf } from "./content.ts";

const digest = `sha256:${"0".repeat(64)}`;
const ctx = createContext({ namespace: "fuzz" });

function polluted(): boolean {
  return "polluted" in {};
}

export const documentTargets: readonly Target[] = [
  pure("image-documents", mutateJson, (input) => {
    for (const mediaType of [MediaType.OciIndex, MediaType.OciManifest, MediaType.DockerManifest, ""]) {
      const descriptor = { mediaType, digest, size: BigInt(input.length), annotations: new Map<string, string>() };
      const document = parsed(() => parseImageDocument(input, descriptor));
      if (document === undefined) continue;
      const all = document.kind === "index" ? document.manifests : [document.config, ...document.layers];
      for (const { size } of all) ensure(typeof size === "bigint" && size >= 0n, () => `size ${String(size)}`);
    }
    ensure(!polluted(), () => "Object.prototype was changed");
  }),
  {
    name: "image-configs",
    mutate: mutateJson,
    open: () => ({
      run: async (input) => {
        const config = parsed(() => parseImageConfig(input));
        if (config !== undefined) {
          const lists = [config.env, config.entrypoint, config.cmd];
          ensure(
            lists.flat().every((item) => typeof item === "string"),
            () => "an item is no string",
          );
        }
        const { platform, diffIds } = await readRootfs(ctx, ...contentOf(input, MediaType.OciConfig));
        ensure(
          diffIds.every((id) => id.startsWith("sha")),
          () => "a diff id is no digest",
        );
        ensure(typeof platform.os === "string", () => "the platform is none");
      },
    }),
  },
  {
    name: "docker-config",
    mutate: mutateJson,
    open: async () => {
      const directory = await tempDir("fuzz-docker-");
      const file = join(directory.path, "config.json");
      const source = dockerCredentials(file);
      return {
        run: async (input) => {
          // Helpers are programs of the machine: none is there, but none is to be looked for.
          await writeFile(file, input.toString("latin1").replaceAll(/credsStore|credHelpers/g, "creds"), "latin1");
          for (const host of ["docker.io", "registry.example:5000", "__proto__"]) {
            const found = await source(host, ctx.signal);
            if (found === undefined) continue;
            const { username, secret } = found;
            ensure(
              typeof username === "string" && typeof secret === "string",
              () => `${JSON.stringify(found)} for ${host}`,
            );
          }
        },
        close: () => directory[Symbol.asyncDispose](),
      };
    },
  },
  pure("cni-config", mutateJson, (input) => {
    const network = parsed(() => parseNetworkConfig(input.toString(), "net.conflist"));
    if (network !== undefined) {
      const again = parseNetworkConfig(JSON.stringify(network.document), "net.conflist");
      ensure(
        isDeepStrictEqual(
          again.plugins.map(({ type }) => type),
          network.plugins.map(({ type }) => type),
        ),
        () => "plugins differ",
      );
    }
    const call = { operation: "ADD", network: "n", plugin: "p" } as const;
    const error = pluginError(call, { exit: 1, stdout: input.toString(), stderr: "" });
    ensure(typeof error.message === "string" && typeof error.details === "string", () => "an error without message");
    const json = parsed(() => parseNetworkJson(input));
    const result = json === undefined ? undefined : parsed(() => parseResult(json));
    if (result === undefined) return;
    const same = parseResult(JSON.parse(JSON.stringify(encodeResult(result, "1.1.0"))));
    ensure(isDeepStrictEqual(same, result), () => "a result is read otherwise than it was written");
  }),
];

function parseNetworkJson(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString());
  } catch {
    // That it is none is told by the parser of configurations above.
    return undefined;
  }
}
