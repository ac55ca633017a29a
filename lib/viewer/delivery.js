// Follows a stored version to the PACS, however long the PACS is away.

import * as client from "./client.js";

const FIRST_MS = 1000;
const LONGEST_MS = 15_000;
const UNREMARKABLE_LOOKS = 20;
const KINDS = { SEG: "a SEG", SR: "a report (SR)" };

/**
 * @typedef {{kind: "good"|"info", text: string}} Outcome a sentence's end: "Stored as version 2" goes before it
 */

/**
 * Tell when a version has arrived, and before that what keeps it. Looks more and more rarely.
 * @param {string} label id of the version
 * @param {(outcome: Outcome) => void} tell
 */
export async function follow(label, tell) {
  let told = "";
  for (let look = 0, wait = FIRST_MS; told || look < UNREMARKABLE_LOOKS; look++) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const { delivery } = await client.labelInfo(label, "final").catch(() => ({ delivery: null }));
    const outcome = described(delivery);
    if (outcome && outcome.text !== told) tell(outcome);
    if (!outcome || outcome.text === told) wait = Math.min(2 * wait, LONGEST_MS);
    told = outcome?.text ?? told;
    if (["delivered", "called_off"].includes(delivery?.state)) return;
  }
}

/**
 * @param {{state: string, document?: "SEG"|"SR", last_error?: string|null}|null} delivery as the server tells it
 * @returns {Outcome|null} null while there is nothing to say
 */
export function described(delivery) {
  if (delivery?.state === "delivered") return { kind: "good", text: `, and in the PACS as ${KINDS[delivery.document ?? "SEG"]}.` };
  if (!delivery?.last_error) return null;
  const next = delivery.state === "pending" ? "It is delivered when the PACS is back." : "An engineer has to look.";
  return { kind: "info", text: " and kept on the server, but not in the PACS yet: " + `${delivery.last_error} ${next}` };
}
