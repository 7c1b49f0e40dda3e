import { join } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import type { EventService } from "@ctrd/core/events";
import { EventPlugin } from "@ctrd/core/events";
import type { InitContext, Registration } from "@ctrd/core/plugin";
import type { ExchangeConfig } from "./config.ts";
import { exchangeConfig } from "./config.ts";
import { createEventExchange, defaultLimits } from "./exchange.ts";
import { EventHistory } from "./history/history.ts";

const exchange: Registration<EventService, ExchangeConfig> = {
  type: EventPlugin,
  id: "exchange",
  config: exchangeConfig,
  async initFn(ic) {
    const history = await openHistory(ic);
    if (history !== undefined) ic.onClose(() => history.close());
    const events = createEventExchange(defaultLimits, history);
    ic.onClose(() => events.close());
    return events;
  },
};

/** Undefined without one. A daemon whose disk is full must start all the same. */
async function openHistory(ic: InitContext<ExchangeConfig>): Promise<EventHistory | undefined> {
  const { history, history_max_bytes: maxBytes, history_max_age: maxAge } = ic.config;
  ic.meta.exports.set("history", "off");
  if (!history) return undefined;
  const directory = join(ic.root, "history");
  try {
    const opened = await EventHistory.open(directory, { maxBytes, maxAgeMs: parseGoDuration(maxAge) }, ic.log);
    ic.meta.exports.set("history", directory);
    return opened;
  } catch (error) {
    ic.log.error({ err: error, directory }, "cannot open the history of events, none is kept");
    return undefined;
  }
}

export default exchange;
