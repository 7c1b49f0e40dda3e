import { defineConfig } from "vitest/config";
import e2e from "../../e2e/vitest.config.ts";

// In no run of all tests: the kubelet takes minutes to be built.
export default defineConfig({ ...e2e, test: { ...e2e.test, include: ["../tools/kubelet/*.spec.ts"] } });
