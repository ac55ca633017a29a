// Places in the open image that findings are asked about: how they are pointed at, and what was said of each.

import { findings, likeliest, percent } from "./findings.js";
import { placeKey } from "./places.js";
import { pointing, sliceOf } from "./pointing.js";
import { session } from "./session.js";
import { h } from "./view.js";

/** @typedef {import("./places.js").Place} Place */

/** @returns {(Node|null)[]} the part of the findings' section that comes before the answers */
export function placesPart() {
  const { place, sheet } = findings;
  const places = findings.places ?? [];
  const on = pointing();
  const button = h(
    "button",
    {
      id: "places-point",
      class: places.length ? "" : "primary",
      "aria-pressed": String(on),
      disabled: Boolean(session.running || session.busy),
      onclick: () => findings.point(),
    },
    "Point",
  );
  return [
    h(
      "div",
      { class: "row" },
      button,
      place && !sheet?.versions
        ? h("button", { id: "places-forget", title: "Take this place away", onclick: () => findings.forget() }, "Take away")
        : null,
    ),
    on ? h("p", { class: "quiet" }, "Click on the image where you want to know.") : null,
    places.length ? h("ul", { id: "places" }, ...places.map((one, index) => row(one, index, placeKey(one) === placeKey(place)))) : null,
  ];
}

/** @param {Place} place @param {number} index @param {boolean} chosen */
function row(place, index, chosen) {
  const sheet = findings.sheetAt(place);
  const slice = session.series ? sliceOf(session.series, place) + 1 : 0;
  const said = sheet && likeliest(sheet);
  return h(
    "li",
    { class: chosen ? "finding active" : "finding" },
    h(
      "button",
      {
        id: `place-${index + 1}`,
        class: "segment",
        title: "Ask about this place, and show its slice",
        "aria-current": chosen ? "true" : null,
        onclick: () => findings.goTo(place),
      },
      h("span", { class: "name" }, `Place ${index + 1}, slice ${slice}`),
      h("span", { class: "score" }, said ? percent(said) : ""),
      h("span", { class: `said ${said?.state ?? ""}` }, said?.state ?? ""),
    ),
  );
}
