/** Groups `items` into arrays of at most `size`, without waiting for a full one at the end. */
export async function* batches<T>(items: AsyncIterable<T> | Iterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** Objects per message of a List stream, as containerd sends them. */
export const listBatchSize = 100;
