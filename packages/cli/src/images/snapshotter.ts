/** The snapshotter that images are unpacked into unless a flag names another, as containerd's. */
export function defaultSnapshotter(): string {
  return process.env["CTRD_SNAPSHOTTER"] || process.env["CONTAINERD_SNAPSHOTTER"] || "overlayfs";
}
