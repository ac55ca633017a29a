// carina's OHIF extension: one panel. OHIF imports it by the address in app-config.js, which must be its id.

import { connect } from "./ohif.js";
import "./panel.js";

/** What React calls an element, without React: a custom element that needs nothing from it. */
const element = {
  $$typeof: Symbol.for("react.element"),
  type: "carina-panel",
  key: null,
  ref: null,
  props: { style: { display: "block", height: "100%" } },
  _owner: null,
};

export default {
  id: new URL(import.meta.url).pathname,
  /** @param {any} managers */
  preRegistration(managers) {
    connect(managers);
  },
  getPanelModule() {
    return [
      { name: "carina", iconName: "tab-segmentation", iconLabel: "carina", label: "carina", component: () => element },
    ];
  },
};
