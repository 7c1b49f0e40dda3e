/** `ctr run --rm` of a one-layer busybox image whose program ends at once; one sample is the mean of five. */
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import { timed, type Work } from "../work.ts";

const repeats = 5;
let reference = "";
let count = 0;

export const runContainer: Work = {
  name: "run",
  unit: "ms",
  target: "<= 1.10",
  async prepare(side, { registry }) {
    reference = await pushImage(registry, "bench/busybox", "1", await busyboxImage());
    await side.ctr("images", "pull", "--plain-http", reference);
  },
  async run(side) {
    const total = await timed(async () => {
      for (let i = 0; i < repeats; i++)
        await side.ctr("run", "--rm", reference, `bench-${process.pid}-${count++}`, "true");
    });
    return total / repeats;
  },
};
