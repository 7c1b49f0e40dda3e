/**
 * Unpack of the image of 30,000 files. Its blobs are fetched beforehand, so that neither network nor registry is in the
 * time: `ctr snapshots unpack` alone is measured. Every run unpacks into a namespace of its own and removes nothing:
 * ext4 searches past recently deleted inodes, which would measure the file system instead of the daemons.
 */
import { manyFilesRepository, pushManyFiles } from "../many-files.ts";
import { settle } from "../settle.ts";
import { timed, type Work } from "../work.ts";

const rounds = { ours: 0, theirs: 0 };

export const unpack: Work = {
  name: "unpack",
  unit: "s",
  target: "<= 0.45",
  async run(side, context) {
    const digest = await pushManyFiles(context);
    const there = side.inNamespace(`${side.namespace}-${rounds[side.name]++}`);
    await there("content", "fetch", "--plain-http", `${context.registry.host}/${manyFilesRepository}:1`);
    await settle(side, context.cache);
    return (await timed(() => there("snapshots", "unpack", digest))) / 1000;
  },
};
