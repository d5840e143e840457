// @ts-check
// A view over the whole screen, in larger type: full screen where the page may, else over everything in the page.

/**
 * @param {HTMLElement} root of a view
 * @param {(on: boolean) => void} tell
 */
export function presenting(root, tell) {
  const tree = () => /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const isOn = () => root.classList.contains("xfm-present");
  /** @param {boolean} on */
  const show = (on) => {
    root.classList.toggle("xfm-present", on);
    tell(on);
  };
  /** Above everything in the page, whatever holds the view */
  const cover = () => {
    root.popover = "manual";
    root.showPopover?.();
    show(true);
  };
  const uncover = () => {
    if (root.popover) root.hidePopover?.();
    root.popover = null;
    show(false);
  };
  const onFullScreen = () => {
    if (tree().fullscreenElement === root) show(true);
    else if (isOn() && !root.popover) show(false);
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.key === "Escape" && root.popover) uncover();
  };
  document.addEventListener("fullscreenchange", onFullScreen);
  root.addEventListener("keydown", onKey);
  return {
    async toggle() {
      if (root.popover) uncover();
      else if (tree().fullscreenElement === root) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await root.requestFullscreen().catch(cover);
      else cover();
    },
    dispose: () => document.removeEventListener("fullscreenchange", onFullScreen),
  };
}
