/** CRI's PullImage of the image of `pull-5`; every run pulls one that the daemon has never seen. */
import { settle } from "../settle.ts";
import { timed, type Work } from "../work.ts";
import { criSide } from "./cri-side.ts";
import { pushedFive } from "./pull.ts";

const rounds = { ours: 0, theirs: 0 };

export const criPull: Work = {
  name: "cri-pull",
  unit: "ms",
  target: "<= 0.60",
  async run(side, context) {
    const cri = await criSide(side, context);
    const reference = await pushedFive(rounds[side.name]++, context);
    await settle(side, context.cache, cri.daemon);
    return timed(() => cri.pull(reference));
  },
};
