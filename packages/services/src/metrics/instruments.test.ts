import { expect, it } from "vitest";
import type { MetricsSource } from "../metrics-source.ts";
import { Counter, Histogram } from "./instruments.ts";

function written(source: MetricsSource): string[] {
  const lines: string[] = [];
  source.write({
    family: (name, type) => lines.push(`${name} ${type}`),
    sample: (name, labels, value) => lines.push(`${name}${JSON.stringify(labels)} ${value}`),
  });
  return lines;
}

it("counts, by labels where there are some", () => {
  const plain = new Counter({ name: "a", help: "A." });
  expect(written(plain)).toEqual(["a counter", "a{} 0"]);
  plain.add();
  plain.add(2);
  expect(written(plain)).toEqual(["a counter", "a{} 3"]);
  const labelled = new Counter({ name: "b", help: "B.", labelled: true, gauge: true });
  expect(written(labelled)).toEqual(["b gauge"]);
  labelled.add(1, { x: "1", y: "2" });
  labelled.add(-1, { x: "1", y: "2" });
  labelled.add(1, { x: "12", y: "" });
  expect(written(labelled)).toEqual(["b gauge", 'b{"x":"1","y":"2"} 0', 'b{"x":"12","y":""} 1']);
});

it("distributes values over buckets, each of which has those below it", () => {
  const histogram = new Histogram({ name: "h", help: "H.", bounds: [1, 2] });
  for (const value of [0.5, 1, 1.5, 9]) histogram.observe(value);
  expect(written(histogram)).toEqual([
    "h histogram",
    'h_bucket{"le":"1"} 2',
    'h_bucket{"le":"2"} 3',
    'h_bucket{"le":"+Inf"} 4',
    "h_sum{} 12",
    "h_count{} 4",
  ]);
});
