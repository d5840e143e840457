// The page around live views: gives their frames the model (loaded when the first one asks), their height, the theme.
const MODEL = new URL("../start/model.js", document.currentScript.src);
let loading;

/** The weights, as text: model.js calls xfmModel. */
function weights() {
  loading ??= new Promise((done, failed) => {
    window.xfmModel = (payload) => done(payload.weights.$dense);
    document.head.append(Object.assign(document.createElement("script"), { src: MODEL, onerror: failed }));
  });
  return loading;
}

/** @returns {HTMLIFrameElement[]} */
const frames = () => [...document.querySelectorAll("iframe.live")];

const tellTheme = (frame) => {
  const { theme } = document.body.dataset;
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  frame.contentWindow?.postMessage({ theme: dark ? "dark" : "light" }, "*");
};

addEventListener("message", async ({ data, source }) => {
  const frame = frames().find(({ contentWindow }) => contentWindow === source);
  if (!frame) return;
  if (data.height) frame.style.height = `${data.height}px`;
  if (data.height || data.want) tellTheme(frame);
  if (data.want === "weights") source.postMessage({ weights: await weights() }, "*");
});

/** What scrolls sideways can be reached by key. */
function reachable() {
  for (const region of document.querySelectorAll("pre, .cell_output, .cell_output > .output, .table-wrapper")) {
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
  }
}

addEventListener("resize", reachable);
addEventListener("DOMContentLoaded", () => {
  reachable();
  new MutationObserver(() => frames().forEach(tellTheme)).observe(document.body, { attributeFilter: ["data-theme"] });
});
