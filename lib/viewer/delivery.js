// Whether a stored version has reached the PACS: asks for half a minute, then leaves it to the server.

import * as client from "./client.js";

const LOOK_MS = 1500;
const LOOKS = 20;

/**
 * @param {string} label id of the version
 * @returns {Promise<{kind: "good"|"info", text: string}|null>} null if nothing is known by then
 */
export async function delivery(label) {
  for (let look = 0; look < LOOKS; look++) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const { delivery: found } = await client.labelInfo(label, "final").catch(() => ({ delivery: null }));
    if (found?.state === "delivered") return { kind: "good", text: ", and in the PACS as a SEG." };
    if (found?.last_error) {
      return { kind: "info", text: `, but not in the PACS yet: ${found.last_error} carina keeps trying.` };
    }
  }
  return null;
}
