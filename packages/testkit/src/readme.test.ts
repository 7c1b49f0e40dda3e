// The example of the README: it is what runs here, word for word.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import "../test/example/snapshotter-tests.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

test.each(["snapshotter.ts", "snapshotter-tests.ts"])("the README shows %s as it is", (file) => {
  expect(read("../README.md")).toContain(`\`\`\`ts\n${read(`../test/example/${file}`)}\`\`\`\n`);
});
