import { describe, expect, it } from "vitest";
import { checkDistinct, collide, parsePublish, portsText } from "./ports.ts";

describe("-p", () => {
  it.each([
    ["8080:80", ["8080 80 tcp"]],
    ["80", ["0 80 tcp"]],
    ["53:53/udp", ["53 53 udp"]],
    ["127.0.0.1:8080:80", ["8080 80 tcp 127.0.0.1"]],
    ["127.0.0.1::80", ["0 80 tcp 127.0.0.1"]],
    ["[::1]:8080:80/tcp", ["8080 80 tcp ::1"]],
    ["0.0.0.0:8080:80", ["8080 80 tcp"]],
    ["8000-8001:80-81", ["8000 80 tcp", "8001 81 tcp"]],
    ["80-81/udp", ["0 80 udp", "0 81 udp"]],
  ])("%s", (text, expected) => {
    const ports = parsePublish(text).map(({ hostPort, containerPort, protocol, hostIP }) =>
      [hostPort, containerPort, protocol, hostIP].filter((part) => part !== undefined).join(" "),
    );
    expect(ports).toEqual(expected);
  });

  it.each([
    ["", /it is not/],
    ["x:80", /"x" is not an address|it is not/],
    ["1:2:3:4", /is not/],
    ["localhost:80:80", /"localhost" is not an address/],
    ["80:80/icmp", /tcp, udp or sctp, not "icmp"/],
    ["0:80", /"0" is not a port/],
    ["70000:80", /"70000" is not a port/],
    ["81-80:1-2", /"81-80" is not a port/],
    ["80-82:80-81", /3 and 2 ports/],
  ])("%s is refused", (text, message) => {
    expect(() => parsePublish(text)).toThrow(message);
  });

  it("finds out that two are the same", () => {
    const [any, local, other, udp] = ["80:1", "127.0.0.1:80:2", "127.0.0.2:80:2", "80:1/udp"].map(
      (text) => parsePublish(text)[0],
    );
    if (any === undefined || local === undefined || other === undefined || udp === undefined) throw new Error("none");
    expect([collide(any, local), collide(local, other), collide(any, udp)]).toEqual([true, false, false]);
    expect(() => checkDistinct([local, other, udp, any])).toThrow(/port 80\/tcp is published twice/);
    expect(portsText([any, local])).toBe("0.0.0.0:80->1/tcp, 127.0.0.1:80->2/tcp");
  });
});
