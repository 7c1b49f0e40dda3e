/**
 * RunPodSandbox, CreateContainer and StartContainer: pods of one container on a bridge, one after the other (a sample is
 * the mean of three) and thirty at once. Their removal is not timed.
 */
import { timed, type Work } from "../work.ts";
import { criSide } from "./cri-side.ts";

const repeats = 3;
const many = 30;

export const podStart: Work = {
  name: "cri-pod-start",
  unit: "ms",
  target: "<= 1.00",
  async run(side, context) {
    const cri = await criSide(side, context);
    const pods: string[] = [];
    const total = await timed(async () => {
      for (let i = 0; i < repeats; i++) pods.push((await cri.startPod()).podSandboxId);
    });
    for (const id of pods) await cri.removePod(id);
    return total / repeats;
  },
};

export const podsAtOnce: Work = {
  name: `cri-${many}-pods`,
  unit: "s",
  target: "<= 1.00",
  async run(side, context) {
    const cri = await criSide(side, context);
    const pods: string[] = [];
    const total = await timed(() =>
      Promise.all(
        Array.from({ length: many }, async () => {
          pods.push((await cri.startPod()).podSandboxId);
        }),
      ),
    );
    for (const id of pods) await cri.removePod(id);
    return total / 1000;
  },
};
