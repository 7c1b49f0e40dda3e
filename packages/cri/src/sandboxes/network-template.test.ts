import { expect, test } from "vitest";
import { fillTemplate } from "./network-template.ts";

test("ranges and routes of two families are filled in", () => {
  const template = `{"subnet": "{{.PodCIDR}}",
    "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
    "routes": [{{ range .Routes }}{"dst": "{{ . }}"}{{ end }}]}`;
  const filled = fillTemplate(template, "10.1.0.0/24, fd00::/64", "t");
  expect(filled).toContain('"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]');
  expect(filled).toContain('"routes": [{"dst": "0.0.0.0/0"}{"dst": "::/0"}]');
  expect(JSON.parse(fillTemplate('{"a": "{{.PodCIDR}}"}', "10.1.0.0/24", "t"))).toEqual({ a: "10.1.0.0/24" });
});

test("a name that is not known is told with the file", () => {
  expect(() => fillTemplate("{{.Nope}}", "10.1.0.0/24", "/etc/t")).toThrow(/\/etc\/t: "\.Nope" is not understood/);
});
