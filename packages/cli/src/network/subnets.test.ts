import { expect, it } from "vitest";
import { freeSubnet, overlap, parseSubnet } from "./subnets.ts";

const subnet = (text: string): ReturnType<typeof parseSubnet> => parseSubnet("--subnet", text);

it("tells which subnets overlap", () => {
  const pairs = [
    ["10.0.0.0/8", "10.4.0.0/24"],
    ["10.4.0.0/24", "10.4.0.128/25"],
    ["10.4.0.0/24", "10.4.1.0/24"],
    ["fd00::/64", "fd00::5/128"],
    ["0.0.0.0/0", "fd00::/64"],
  ] as const;
  expect(pairs.map(([a, b]) => overlap(subnet(a), subnet(b)))).toEqual([true, true, false, true, false]);
});

it("finds one that is free", () => {
  expect(freeSubnet([])).toEqual({ base: "10.4.0.0", prefix: 24 });
  expect(freeSubnet([subnet("10.4.0.0/24"), subnet("10.4.1.77/32")])).toEqual({ base: "10.4.2.0", prefix: 24 });
  expect(() => freeSubnet([subnet("10.0.0.0/8")])).toThrow(/all subnets/);
});

it.each(["10.4.0.0", "10.4.0/24", "10.4.0.0/33", "::/129", "x/8"])("refuses %s", (text) => {
  expect(() => subnet(text)).toThrow(/--subnet needs/);
});
