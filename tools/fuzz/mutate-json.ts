/**
 * Mutations of JSON documents that leave them JSON.
 *
 * @module
 */
import { mixed } from "./mutate.ts";
import type { Mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Place = { holder: Json[] | Record<string, Json>; key: string | number };

const oddValues: readonly (() => Json)[] = [
  () => null,
  () => true,
  () => false,
  () => 0,
  () => -1,
  () => 1.5,
  () => 1e300,
  () => 2 ** 53 + 2,
  () => "",
  () => "\0",
  () => "__proto__",
  () => "../x",
  () => "é\ud800",
  () => "x".repeat(5_000),
  () => [],
  () => ({}),
  () => [[[[[[]]]]]],
  () => [null],
  () => ({ "": null }),
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"toString":2}') as Json,
  () => Array.from({ length: 200 }, (_, index) => index),
];

const oddKeys = ["__proto__", "constructor", "toString", "valueOf", "length", "", "hasOwnProperty"];

function placesIn(value: Json, places: Place[] = []): Place[] {
  if (typeof value !== "object" || value === null) return places;
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  for (const key of keys) {
    places.push({ holder: value as Record<string, Json>, key });
    placesIn((value as Record<string, Json>)[key] as Json, places);
  }
  return places;
}

/** Sets a key as JSON does, also `__proto__`. */
function put(holder: Place["holder"], key: string | number, value: Json): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

function get({ holder, key }: Place): Json {
  return (holder as Record<string, Json>)[key] as Json;
}

function mutateOnce(random: Random, document: Json, others: readonly Json[]): void {
  const places = placesIn(document);
  if (places.length === 0) return;
  const place = random.pick(places);
  const { holder, key } = place;
  switch (random.below(6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return;
    case 1:
      if (Array.isArray(holder)) holder.push(structuredClone(get(place)));
      else put(holder, random.pick(oddKeys), structuredClone(get(place)));
      return;
    case 2:
      return put(holder, key, structuredClone(get(random.pick(places))));
    case 3: {
      const foreign = placesIn(random.pick(others));
      return foreign.length === 0 ? undefined : put(holder, key, structuredClone(get(random.pick(foreign))));
    }
    default:
      return put(holder, key, random.pick(oddValues)());
  }
}

function parse(bytes: Buffer): Json | undefined {
  try {
    return JSON.parse(bytes.toString()) as Json;
  } catch {
    // The corpus also holds what is no JSON.
    return undefined;
  }
}

/** Mutates values of a document, and now and then its bytes. */
export const mutateJson: Mutate = mixed((random, input, corpus) => {
  const holder: { document: Json } = { document: parse(input) ?? {} };
  const other = parse(random.pick(corpus)) ?? null;
  for (let left = 1 + random.below(4); left > 0; left--) {
    if (random.oneIn(40)) holder.document = random.pick(oddValues)();
    else mutateOnce(random, random.oneIn(10) ? holder : holder.document, [{ other }]);
  }
  return Buffer.from(JSON.stringify(holder.document ?? null));
});
