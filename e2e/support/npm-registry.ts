/**
 * An npm registry on a loopback address that has the packages it is given, as tarballs. For every other package it
 * redirects to the registry that this machine is configured for.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { basename } from "node:path";

interface Version {
  readonly manifest: { readonly name: string; readonly version: string };
  readonly tarball: string;
}

/** A registry that runs until it is disposed of. */
export interface NpmRegistry extends AsyncDisposable {
  readonly url: string;
  /** Adds versions; the last one given of a package is its `latest`. */
  publish(versions: readonly Version[]): void;
}

/** A setting of the npm of this machine. */
export function npmConfig(key: string): string {
  const stdio = ["ignore", "pipe", "ignore"] as const;
  return execFileSync("npm", ["config", "get", key], { encoding: "utf8", stdio: [...stdio] }).trim();
}

/** Starts a registry that has nothing of its own. */
export async function startNpmRegistry(): Promise<NpmRegistry> {
  const upstream = npmConfig("registry");
  const packages = new Map<string, Map<string, Version>>();
  const tarballs = new Map<string, string>();
  const server = createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the npm registry has no port");
  const url = `http://127.0.0.1:${address.port}/`;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? "/", url).pathname).slice(1);
    const [tarball, versions] = [tarballs.get(path), packages.get(path)];
    // npm must not remember: another run may have other packages at this port.
    response.setHeader("cache-control", "no-store");
    if (tarball !== undefined) response.end(readFileSync(tarball));
    else if (versions !== undefined) response.setHeader("content-type", "application/json").end(packument(versions));
    else response.writeHead(302, { location: new URL((request.url ?? "/").slice(1), upstream).href }).end();
  }

  function packument(versions: ReadonlyMap<string, Version>): string {
    const all = [...versions.values()];
    const latest = all.at(-1)?.manifest;
    return JSON.stringify({
      name: latest?.name,
      "dist-tags": { latest: latest?.version },
      versions: Object.fromEntries(
        all.map(({ manifest, tarball }) => [manifest.version, { ...manifest, dist: dist(tarball) }]),
      ),
    });
  }

  function dist(tarball: string): object {
    const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    return { tarball: `${url}-/${basename(tarball)}`, integrity };
  }

  return {
    url,
    publish(versions) {
      for (const version of versions) {
        const { name } = version.manifest;
        const known = packages.get(name) ?? new Map<string, Version>();
        packages.set(name, known.set(version.manifest.version, version));
        tarballs.set(`-/${basename(version.tarball)}`, version.tarball);
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
