/** ExecSync of `true` in a running container; one sample is the mean of ten. */
import { timed, type Work } from "../work.ts";
import { criSide } from "./cri-side.ts";

const repeats = 10;
const containers = new Map<string, string>();

export const execSync: Work = {
  name: "cri-exec-sync",
  unit: "ms",
  target: "<= 1.10",
  async prepare(side, context) {
    const cri = await criSide(side, context);
    containers.set(side.name, (await cri.startPod()).containerId);
  },
  async run(side, context) {
    const cri = await criSide(side, context);
    const containerId = containers.get(side.name) ?? "";
    const total = await timed(async () => {
      for (let i = 0; i < repeats; i++) {
        const { exitCode } = await cri.runtime.execSync(cri.ctx, { containerId, cmd: ["true"], timeout: 10n });
        if (exitCode !== 0) throw new Error(`${side.name}: ExecSync: exit code ${exitCode}`);
      }
    });
    return total / repeats;
  },
};
