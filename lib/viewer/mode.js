// The mode to annotate in: OHIF's own segmentation mode with carina's panel beside its tools.

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
    };
  },
};
