/** The snapshotter that a flag or the environment names; undefined: the namespace's default. */
export function chosenSnapshotter(flag?: string): string | undefined {
  return flag ?? (process.env["CTRD_SNAPSHOTTER"] || process.env["CONTAINERD_SNAPSHOTTER"] || undefined);
}
