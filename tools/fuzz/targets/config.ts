/**
 * Configuration: the daemon's, and of registries' hosts; what registries answer.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { silentLogger } from "@ctrd/core/log";
import { hostsFromDirectories } from "@ctrd/registry";
import { tempDir } from "@ctrd/testkit/fixtures";
import { parseChallenges } from "../../../packages/registry/src/challenge.ts";
import { loadPackages } from "../../../packages/server/src/app/load-packages.ts";
import { builtins } from "../../../packages/server/src/builtins.ts";
import { parseDocument } from "../../../packages/server/src/config/load.ts";
import { printConfig, printDefaultConfig } from "../../../packages/server/src/config/print.ts";
import { checkConfig } from "../../../packages/server/src/config/resolve.ts";
import { mutateBytes } from "../mutate.ts";
import type { OpenTarget, Target } from "../target.ts";
import { ensure, pure } from "../target.ts";

async function openDaemonToml(): Promise<OpenTarget> {
  const plugins = await loadPackages(builtins);
  const defaults = Buffer.from(await printDefaultConfig(plugins));
  return {
    run: async (input) => {
      // Parts of the defaults, so that whole tables are among the inputs.
      const from = (input.length * 7919) % defaults.length;
      const text =
        input.length % 5 === 0
          ? `${input.toString()}\n${defaults.toString("utf8", from, from + 600)}`
          : input.toString();
      const { document, warnings } = await parseDocument("fuzz.toml", text);
      const { problems } = await checkConfig({ documents: [document], warnings }, plugins);
      ensure(
        problems.every((line) => /^fuzz\.toml\b/.test(line)),
        () => `a problem without a place: ${problems.join("; ")}`,
      );
      const printed = printConfig({ ...document.table, version: 4 });
      const again = printConfig((await parseDocument("printed.toml", printed)).document.table);
      ensure(again === printed, () => `printed as ${printed}\nand then as ${again}`);
    },
  };
}

async function openHosts(): Promise<OpenTarget> {
  const directory = await tempDir("fuzz-hosts-");
  const host = "registry.example:5000";
  await mkdir(join(directory.path, host));
  let ignored: string | undefined;
  const log = { ...silentLogger, error: (fields: Record<string, unknown>) => void (ignored = String(fields["err"])) };
  const lookup = hostsFromDirectories({ directories: [directory.path], log });
  return {
    run: async (input) => {
      ignored = undefined;
      await writeFile(join(directory.path, host, "hosts.toml"), input);
      const hosts = await lookup(host);
      ensure(hosts.length > 0, () => "no host is left");
      for (const { scheme, path } of hosts) {
        ensure((scheme === "http" || scheme === "https") && /^(?:\/|$)/.test(path), () => `${scheme} ${path}`);
      }
      if (ignored === undefined) return;
      const senseless = /is not a function|not iterable|Cannot (?:read|convert|mix)|undefined|ERR_/.exec(ignored);
      ensure(senseless === null, () => `the log says: ${ignored}`);
    },
    close: () => directory[Symbol.asyncDispose](),
  };
}

/** Challenges, written again, are the same. */
function readChallenges(input: Buffer): void {
  const challenges = parseChallenges(input.toString("latin1"));
  const text = challenges
    .map(({ scheme, parameters }) => {
      const pairs = [...parameters].map(([name, value]) => `${name}="${value.replaceAll(/["\\]/g, "\\$&")}"`);
      return `${scheme} ${pairs.join(",")}`;
    })
    .join(", ");
  // The parser stops after 16 KiB, which escapes may go beyond.
  if (text.length >= 16 << 10) return;
  ensure(isDeepStrictEqual(parseChallenges(text), challenges), () => `written again: ${text}`);
}

export const configTargets: readonly Target[] = [
  { name: "daemon-toml", mutate: mutateBytes, open: openDaemonToml },
  { name: "hosts-toml", mutate: mutateBytes, open: openHosts },
  pure("auth-headers", mutateBytes, readChallenges),
];
