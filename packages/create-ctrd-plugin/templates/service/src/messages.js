/**
 * The messages of proto/summary.proto, by hand. With more than a few, generate this file: ts-proto with
 * `outputServices=generic-definitions` makes definitions of this shape.
 */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

/**
 * @typedef {Record<string, never>} GetSummaryRequest
 *
 * @typedef {object} GetSummaryResponse
 * @property {number} images
 * @property {number} containers
 */

export const GetSummaryRequest = {
  /** @param {GetSummaryRequest} _message */
  encode(_message) {
    return new BinaryWriter();
  },
  /**
   * @param {Uint8Array} _input
   * @returns {GetSummaryRequest}
   */
  decode(_input) {
    return {};
  },
};

export const GetSummaryResponse = {
  /** @param {GetSummaryResponse} message */
  encode(message) {
    return new BinaryWriter().uint32(tag(1)).uint32(message.images).uint32(tag(2)).uint32(message.containers);
  },
  /**
   * @param {Uint8Array} input
   * @returns {GetSummaryResponse}
   */
  decode(input) {
    const reader = new BinaryReader(input);
    const message = { images: 0, containers: 0 };
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1) message.images = reader.uint32();
      else if (field === 2) message.containers = reader.uint32();
      else reader.skip(wireType);
    }
    return message;
  },
};

/** @param {number} field a varint's */
function tag(field) {
  return field << 3;
}

/** The service as servers and clients of @ctrd/services want it. */
export const SummaryDefinition = /** @type {const} */ ({
  fullName: "__proto_package__.v1.Summary",
  methods: {
    get: {
      name: "Get",
      requestType: GetSummaryRequest,
      requestStream: false,
      responseType: GetSummaryResponse,
      responseStream: false,
    },
  },
});
