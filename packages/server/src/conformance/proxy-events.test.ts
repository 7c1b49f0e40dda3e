// The event exchange behind an Events service on a real socket: what remote subscribers and publishers see.
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { createEventExchange } from "@ctrd/events-exchange";
import { openChannel, proxyEvents, serveEvents, serveOnSocket } from "@ctrd/services";
import { eventSuite } from "@ctrd/testkit/events";
import { tempDir } from "@ctrd/testkit/fixtures";

eventSuite("proxy over exchange", async () => {
  const directory = await tempDir();
  const exchange = createEventExchange();
  const server = await serveOnSocket(join(directory.path, "events.sock"), [serveEvents(exchange)]);
  const channel = openChannel(server.path);
  return {
    events: proxyEvents(channel),
    ctx: createContext({ namespace: "testing" }),
    async close() {
      channel.close();
      await server.stop();
      exchange.close();
      await directory[Symbol.asyncDispose]();
    },
  };
});
