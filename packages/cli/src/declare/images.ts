/**
 * The commands on images: names, arguments and flags. What they do is loaded when one is called.
 *
 * @module
 */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { declare, globalsOf } from "../globals.ts";
import type { LoadFlags, SaveFlags } from "../images/archive.ts";
import type { ConvertFlags } from "../images/convert.ts";
import type { ListFlags } from "../images/list.ts";
import type { LoginFlags } from "../images/login.ts";
import type { PullFlags } from "../images/pull.ts";
import type { PushFlags } from "../images/push.ts";
import type { RemoveFlags } from "../images/records.ts";
import { addOutputFlags } from "../output/format.ts";
import type { Session } from "../session.ts";

/** Declares `pull`, `push`, `images`, … */
export function declareImageCommands(program: Command): void {
  declarePull(program);
  declarePush(program);
  declareNames(program);
  declareArchives(program);
  declareConvert(program);
  declareCredentials(program);
}

/** Calls `body` with a session that ends with it. */
export async function withSession(command: Command, body: (session: Session) => Promise<void>): Promise<void> {
  const { openSession } = await import("../session.ts");
  await using session = await openSession(globalsOf(command));
  await body(session);
}

/** Reads a count. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It is not a whole number.");
  return Number(text);
}

function declarePull(program: Command): void {
  const command = declare(program, "pull [image]", "get an image from a registry and unpack it")
    .option("--watch", "pull nothing: show the pulls that the daemon does for anybody, of the image or all")
    .option("--platform <platform...>", "as linux/arm64; by default what runs here")
    .option("--all-platforms", "everything that the registry has")
    .option("--no-unpack", "only fetch it")
    .option("--snapshotter <name>", "unpack into this one (CTRD_SNAPSHOTTER, CONTAINERD_SNAPSHOTTER, overlayfs)")
    .option("--max-concurrent-downloads <count>", "contents at a time", parseCount)
    .option("--local", "fetch it through this command, not by the daemon itself");
  registryFlags(command)
    .option("-q, --quiet", "print only the name")
    .option("--json", "print progress as JSON lines")
    .action((image: string | undefined, flags: PullFlags & { watch?: boolean }) => {
      if (flags.watch !== true && image === undefined) command.error("error: missing required argument 'image'");
      return withSession(command, async (session) => {
        if (image === undefined || flags.watch === true) {
          await (await import("../images/watch-pulls.ts")).watchPulls(session, image, flags);
        } else await (await import("../images/pull.ts")).pull(session, image, flags);
      });
    });
}

function declarePush(program: Command): void {
  const command = declare(program, "push <image> [destination]", "send an image to a registry").option(
    "--platform <platform...>",
    "only these of an index",
  );
  registryFlags(command)
    .option("-q, --quiet", "print only the name")
    .option("--json", "print progress as JSON lines")
    .action((image: string, destination: string | undefined, flags: PushFlags) =>
      withSession(command, async (session) =>
        (await import("../images/push.ts")).push(session, image, destination, flags),
      ),
    );
}

function registryFlags(command: Command): Command {
  return command
    .option("--plain-http", "speak plain HTTP with the registry")
    .option("-k, --skip-verify", "take any certificate of the registry")
    .option("-u, --user <name:password>", "credentials; by default those of ctrd login and docker login")
    .option("--hosts-dir <dir...>", "directories with hosts.toml files (/etc/containerd/certs.d, …)");
}

function declareNames(program: Command): void {
  const list = declare(program, "images [image]", "list images").aliases(["image-ls"]);
  addOutputFlags(list, "print only ids")
    .option("--digests", "show digests")
    .option("--no-trunc", "show ids in full")
    .option("-f, --filter <filter...>", "containerd filters, as name~=busybox")
    .action((image: string | undefined, flags: ListFlags & { trunc?: boolean }) =>
      withSession(list, async (session) =>
        (await import("../images/list.ts")).listImages(session, image, { ...flags, noTrunc: flags.trunc === false }),
      ),
    );
  const tag = declare(program, "tag <image> <name>", "give an image a further name").action(
    (image: string, name: string) =>
      withSession(tag, async (session) => (await import("../images/records.ts")).tag(session, image, name)),
  );
  const remove = declare(program, "rmi <image...>", "remove images")
    .option("-f, --force", "also those that containers were made from")
    .action((images: string[], flags: RemoveFlags) =>
      withSession(remove, async (session) =>
        (await import("../images/records.ts")).removeImages(session, images, flags),
      ),
    );
}

function declareArchives(program: Command): void {
  const save = declare(program, "save <image...>", "write images to an archive")
    .option("-o, --output <file>", "file; standard output otherwise")
    .option("--compress [format]", "zstd (the usual) or gzip")
    .option("--platform <platform...>", "only these of an index")
    .option("--all-platforms", "everything that is here");
  save.action((images: string[], flags: SaveFlags) =>
    withSession(save, async (session) => (await import("../images/archive.ts")).save(session, images, flags)),
  );
  const load = declare(program, "load", "read images from an archive: an OCI layout or the output of docker save")
    .option("-i, --input <file>", "file; standard input otherwise")
    .option("--name <image>", "name for what is in it, in place of its own")
    .option("--no-unpack", "only store it")
    .option("--snapshotter <name>", "unpack into this one")
    .option("-q, --quiet", "print only names");
  load.action((flags: LoadFlags) =>
    withSession(load, async (session) => (await import("../images/archive.ts")).load(session, flags)),
  );
}

function declareConvert(program: Command): void {
  const convert = declare(program, "convert <image> <name>", "make another form of an image")
    .option("--zstd", "layers compressed with zstd, and OCI media types")
    .option("--gzip", "layers compressed with gzip")
    .option("--uncompressed", "layers without compression")
    .option("--estargz", "layers that can be used while they are fetched")
    .option("--estargz-prefetch <path...>", "files that are fetched before a container starts")
    .option("--level <number>", "of the compression", parseCount)
    .option("--oci", "OCI media types in place of Docker's")
    .option("--platform <platform...>", "only these of an index; by default what runs here")
    .option("--all-platforms", "everything that is in the index")
    .option("-q, --quiet", "print only the name")
    .option("--json", "print progress as JSON lines");
  convert.action((image: string, name: string, flags: ConvertFlags) =>
    withSession(convert, async (session) =>
      (await import("../images/convert.ts")).convert(session, image, name, flags),
    ),
  );
}

function declareCredentials(program: Command): void {
  declare(program, "login <registry>", "try credentials of a registry and keep them (Docker's config.json)")
    .option("-u, --username <name>", "user name")
    .option("-p, --password <password>", "password; others on this machine can see it")
    .option("--password-stdin", "read the password from standard input")
    .option("--plain-http", "speak plain HTTP with the registry")
    .option("-k, --skip-verify", "take any certificate of the registry")
    .action(async (registry: string, flags: LoginFlags) => (await import("../images/login.ts")).login(registry, flags));
  declare(program, "logout <registry>", "forget the credentials of a registry").action(async (registry: string) =>
    (await import("../images/login.ts")).logout(registry),
  );
}
