// The mode to annotate in: OHIF's own segmentation mode with carina's panel beside its tools.

import { services } from "./ohif.js";

/**
 * A second after an edit OHIF measures the segments, and then writes back how they were before: which one was active,
 * and which there were. Whoever chose another one meanwhile would draw on the wrong one. The panel measures them itself.
 */
const MEASURES_OF_OHIF = "panelSegmentation.disableUpdateSegmentationStats";

const extension = new URL("extension.js", import.meta.url).pathname;
const panel = `${extension}.panelModule.carina`;

export default {
  id: new URL(import.meta.url).pathname,
  /** @param {{loadModules: (names: string[]) => Promise<any[]>}} given */
  async modeFactory({ loadModules }) {
    const [{ modeInstance }] = await loadModules(["@ohif/mode-segmentation"]);
    const [route] = modeInstance.routes;
    const { props } = route.layoutInstance;
    const layoutInstance = { ...route.layoutInstance, props: { ...props, leftPanels: [panel, ...props.leftPanels] } };
    return {
      ...modeInstance,
      id: this.id,
      routeName: "annotate",
      displayName: "Annotate",
      routes: [{ ...route, path: "annotate", layoutInstance }],
      extensions: { ...modeInstance.extensions, [extension]: "*" },
      hangingProtocol: "default",
      /** @param {any} context */
      onModeEnter(context) {
        modeInstance.onModeEnter.call(this, context);
        services().customizationService.setCustomizations({ [MEASURES_OF_OHIF]: { $set: true } });
      },
    };
  },
};
