// What is done with a case once it is drawn: submit, a word on it, the next; and how much of the queue is left.

import { caseAddress } from "./next_case.js";
import { question } from "./question.js";
import { recovery } from "./recovery.js";
import { review } from "./review.js";
import { Section, define } from "./section.js";
import { session } from "./session.js";
import { clock, h, words } from "./view.js";

/** @type {Record<string, {button: string, title: string, text: string}>} */
const WORDS = {
  accept: { button: "Accept", title: "Accept", text: "Exactly the newest version trains from now on." },
  reject: {
    button: "Reject…",
    title: "Reject what was submitted?",
    text: "It does not train, and the case is handed out again. Every version stays stored.",
  },
  skip: { button: "Skip…", title: "Skip this case?", text: "It is not handed out any more, until somebody reopens it." },
  reopen: { button: "Reopen…", title: "Reopen this case?", text: "It is handed out again for more work." },
};

class ReviewSection extends Section {
  get follows() {
    return [session, review, recovery];
  }

  content() {
    return [this.#submit(), this.#actions(), this.#next(), this.#queue()];
  }

  #submit() {
    const { work } = session;
    const { kept } = recovery;
    if (!work) return null;
    const unsaved = work.unsaved && kept;
    return h(
      "div",
      { class: "stack" },
      h(
        "button",
        { id: "submit", class: work.unsaved ? "primary" : "", disabled: waiting(), onclick: () => session.submit() },
        work.unsaved ? "Submit changes" : "Submit",
      ),
      unsaved
        ? h("p", { class: "quiet" }, "Kept in this browser, ", h("time", { id: "kept", datetime: kept }, clock(kept)), ".")
        : null,
    );
  }

  #actions() {
    const offered = Object.keys(review.standing?.actions ?? {}).filter((action) => action in WORDS);
    if (!offered.length) return null;
    const root = /** @type {ShadowRoot} */ (this.getRootNode());
    const buttons = offered.map((action) =>
      h(
        "button",
        { id: action, disabled: waiting() || blocked(action), onclick: () => sayOn(root, action) },
        WORDS[action].button,
      ),
    );
    return h("div", { class: "row", role: "group", "aria-label": "A word on this case" }, ...buttons);
  }

  #next() {
    const { strategies, strategy } = session.offers;
    const select = h(
      "select",
      {
        id: "strategy",
        "aria-label": "How the next case is chosen",
        title: strategies.find(({ name }) => name === strategy)?.description ?? "How the next case is chosen",
        onchange: (/** @type {Event} */ event) => {
          session.offers.strategy = /** @type {HTMLSelectElement} */ (event.target).value;
        },
      },
      ...strategies.map(({ name }) => h("option", { value: name, selected: name === strategy }, words(name))),
    );
    const due = review.finished ? "primary" : "";
    return h(
      "div",
      { class: "row" },
      h("button", { id: "next", class: due, disabled: waiting(), onclick: () => session.next() }, "Next case"),
      select,
    );
  }

  #queue() {
    const { queue } = review;
    if (!queue) return null;
    const facts = [
      `${queue.left} left`,
      `${queue.closed} of ${queue.total} done`,
      `${queue.mine} by you`,
      ...(queue.with_others ? [`${queue.with_others} with others`] : []),
    ];
    const others = queue.leases.filter(({ image_id }) => image_id !== session.series?.SeriesInstanceUID);
    return h(
      "div",
      { class: "stack" },
      h("p", { class: "quiet", id: "queue" }, facts.join(" · ")),
      ...others.map(({ image_id, study_instance_uid, expires }) =>
        h(
          "p",
          { class: "quiet" },
          study_instance_uid ? h("a", { href: caseAddress(study_instance_uid, image_id).href }, "Another case") : "A case",
          ` is yours until ${clock(expires)}.`,
        ),
      ),
    );
  }
}

/**
 * Say a word on the open case; ask for the reason first, where it takes one.
 * @param {ShadowRoot} root where questions appear
 * @param {string} action
 */
export async function sayOn(root, action) {
  if (!review.standing?.actions[action] || waiting() || blocked(action)) return;
  const { button, title, text } = WORDS[action];
  const yes = button.replace("…", "");
  const reason = action === "accept" ? "" : await question(root, { title, text, yes, reason: review.reason(action) });
  if (reason !== null) await review.say(action, reason);
}

const waiting = () => Boolean(session.busy || session.running);

/** @param {string} action @returns {boolean} accepting means what is stored, so changes come first */
const blocked = (action) => action === "accept" && Boolean(session.work?.unsaved);

define("carina-review", ReviewSection);
