import type { EventService } from "@ctrd/core/events";
import { EventPlugin } from "@ctrd/core/events";
import type { Registration } from "@ctrd/core/plugin";
import { createEventExchange } from "./exchange.ts";

const exchange: Registration<EventService> = {
  type: EventPlugin,
  id: "exchange",
  initFn(ic) {
    const events = createEventExchange();
    ic.onClose(() => events.close());
    return events;
  },
};

export default exchange;
