import { test } from "vitest";

/**
 * Declares a test only for implementations that claim a capability. What is not claimed is no requirement, so it is not
 * a skipped test either: in CI none may be skipped.
 */
export function testWhen(claimed: boolean): (name: string, body: () => void | Promise<void>) => void {
  return (name, body) => {
    if (claimed) test(name, body);
  };
}
