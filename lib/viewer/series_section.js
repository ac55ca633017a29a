// The open series: what it is, where its case stands, who has it, and what of it was not submitted.

import { recovery } from "./recovery.js";
import { review } from "./review.js";
import { Section, define } from "./section.js";
import { session } from "./session.js";
import { clock, h, words } from "./view.js";

class SeriesSection extends Section {
  get follows() {
    return [session, review, recovery];
  }

  content() {
    const { series, versions } = session;
    if (!series) {
      const why = session.unfit ?? "No image series is open. Choose one from the study's list.";
      return [h("p", { class: "quiet", id: "unfit" }, why)];
    }
    const count = series.imageIds?.length ?? 0;
    const stored = `${versions.length} stored ${versions.length === 1 ? "version" : "versions"}`;
    return [
      h("h2", {}, series.SeriesDescription || "Series without a description"),
      h(
        "p",
        { class: "quiet" },
        [series.Modality, `${count} ${count === 1 ? "image" : "images"}`, ...(versions.length ? [stored] : [])].join(
          " · ",
        ),
      ),
      this.#standing(),
      session.why ? h("p", { class: "quiet", id: "why" }, session.why) : null,
      ...recovery.offered.map((draft) => this.#offer(draft)),
      recovery.problem ? h("p", { class: "warning", id: "not-kept" }, recovery.problem) : null,
    ];
  }

  #standing() {
    const { standing, problem } = review;
    if (problem) return h("p", { class: "warning" }, problem);
    if (!standing) return null;
    const { state, user, changed, reason, lease } = standing;
    const by = user ? ` by ${user}` : "";
    const when = changed ? `, ${clock(changed)}` : "";
    const mine = lease?.holder === session.user;
    return h(
      "p",
      { id: "standing" },
      h("span", { class: `state ${state}` }, words(state)),
      h("span", { class: "quiet" }, `${by}${when}${reason ? `: ${reason}` : ""}`),
      lease && h("span", { class: "quiet" }, ` · ${mine ? "yours" : `${lease.holder} has it`} until ${clock(lease.expires)}`),
      lease && mine && h("button", { id: "give-back", class: "small", onclick: () => review.giveBack() }, "Give back"),
    );
  }

  /** @param {import("./local_draft.js").LocalDraft} draft */
  #offer(draft) {
    const later = recovery.outdated(draft) ? " Another version was stored since." : "";
    return h(
      "div",
      { class: "offer", role: "group", "aria-label": "Unsaved changes" },
      h("p", {}, `Your unsaved changes of ${clock(draft.saved)}${draft.task ? `, ${words(draft.task)}` : ""}.${later}`),
      h(
        "div",
        { class: "row" },
        h("button", { class: "primary restore", onclick: () => recovery.restore(draft) }, "Restore"),
        h("button", { class: "discard", onclick: () => recovery.discard(draft) }, "Discard"),
      ),
    );
  }
}

define("carina-series", SeriesSection);
