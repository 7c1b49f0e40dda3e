/** Images that others make, change or remove in the namespace of CRI. */
import { ImageCreate, ImageDelete, ImageUpdate } from "@ctrd/api/events/image";
import type { Client } from "@ctrd/client";
import type { Any } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";
import type { CriImages } from "../images/cri-images.ts";
import { followEvents } from "./follow.ts";

/** Keeps what is known of images up to date. */
export function followImageEvents(client: Client, images: CriImages): void {
  const filter = `namespace==${client.namespace},topic~="^/images/"`;
  const reload = (): Promise<void> => images.load(client.context());
  followEvents(
    client,
    client.log,
    filter,
    async ({ event }) => {
      const name = event === undefined ? undefined : nameOf(event);
      if (name !== undefined) await images.refresh(client.context(), name);
    },
    reload,
  );
}

function nameOf({ typeUrl, value }: Any): string | undefined {
  const message = { ImageCreate, ImageUpdate, ImageDelete }[typeName(typeUrl).split(".").at(-1) ?? ""];
  return message?.decode(value).name;
}
