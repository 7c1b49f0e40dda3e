import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "smol-toml";
import { beforeAll, describe, expect, it } from "vitest";
import { loadApp } from "../app/load-app.ts";
import { configJsonSchema } from "./json-schema.ts";
import { printDefaultConfig } from "./print.ts";

type Validate = (data: unknown) => boolean;
let validate: Validate;
let defaults: string;

beforeAll(async () => {
  const { plugins } = await loadApp(undefined);
  const schema = configJsonSchema(plugins);
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allowMatchingProperties: true, allErrors: true });
  validate = (data) => ajv.validate(schema, data);
  expect(ajv.validateSchema(schema)).toBe(true);
  defaults = await printDefaultConfig(plugins);
});

describe("configJsonSchema", () => {
  it("takes the default configuration", () => {
    expect(validate(parse(defaults))).toBe(true);
  });

  it.each([
    ['rooot = "/x"', false],
    ["root = 1", false],
    ["version = 9", false],
    ['[debug]\nlevel = "loud"', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_treshold = 0.1', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = "much"', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.1', true],
    ['[plugins."io.containerd.unknown.v1.x"]\nanything = [1, 2]', true],
    ['[proxy_plugins.x]\ntype = "snapshot"\naddress = "/run/x.sock"', true],
    ['[proxy_plugins.x]\ntype = "snapshot"\nadress = "/run/x.sock"', false],
  ])("%j is valid: %s", (text, valid) => {
    expect(validate(parse(text))).toBe(valid);
  });
});
