import { expect, it } from "vitest";
import { parseChange } from "./commit.ts";

it.each([
  ['CMD ["a", "b"]', { Cmd: ["a", "b"] }],
  ["cmd a b", { Cmd: ["/bin/sh", "-c", "a b"] }],
  ['ENTRYPOINT ["x"]', { Entrypoint: ["x"], Cmd: null }],
  ["ENV A=new", { Env: ["B=2", "A=new"] }],
  ['ENV C "with blanks"', { Env: ["A=1", "B=2", "C=with blanks"] }],
  ["LABEL k='v w'", { Labels: { old: "1", k: "v w" } }],
  ["USER 1:2", { User: "1:2" }],
  ["WORKDIR /w", { WorkingDir: "/w" }],
  ["STOPSIGNAL SIGINT", { StopSignal: "SIGINT" }],
  ["EXPOSE 80 53/udp", { ExposedPorts: { "80/tcp": {}, "53/udp": {} } }],
  ['VOLUME ["/a"]', { Volumes: { "/a": {} } }],
  ["VOLUME /a /b", { Volumes: { "/a": {}, "/b": {} } }],
])("%s changes the configuration", (text, expected) => {
  const config = { Env: ["A=1", "B=2"], Labels: { old: "1" }, Cmd: ["old"] };
  expect(parseChange(text)(config)).toEqual({ ...config, ...expected });
});

it.each(["", "CMD", "RUN x", "ENV =", "CMD [1]", 'CMD ["a"'])("refuses %o", (text) => {
  expect(() => parseChange(text)({})).toThrow("commit:");
});
