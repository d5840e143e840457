// @ts-check
// A view beside a kernel that answers in the page, too, once the model has come: it is asked for when the view is shown.
import { beside } from "./beside.js";
import { node } from "./dom.js";
import { pageModel, rest } from "./page_model/page_weights.js";

/** @import { Host, View } from "./host.d.ts" */

const SOON = 400; // ms within which Python usually answers; the note about the page's answer waits so long
const NOTE = "Answered in this page; Python's answer is to come.";

/**
 * @param {View<any>} view
 * @param {string} name of the function of page_kernel.js that answers it
 * @returns {View<any>}
 */
export const live = (view, name) => ({
  /** @param {Host<any>} host */
  render({ model, el }) {
    const note = node("span", { className: "xfm-soft xfm-provisional", role: "note" });
    let timer = 0;
    const both = beside(model, (stands) => {
      clearTimeout(timer);
      if (!stands) note.textContent = "";
      else if (!note.textContent)
        timer = setTimeout(() => {
          note.textContent = NOTE;
        }, SOON);
    });
    const end = view.render({ model: both.model, el });
    el.querySelector(".xfm-head > h2")?.after(note);
    let isOver = false;
    let stopAsking = () => {};
    async function begin() {
      await rest();
      if (isOver) return;
      const asked = pageModel(model);
      stopAsking = asked.dispose;
      const { payload, kernels, given } = await asked.sent;
      await rest();
      if (!isOver) both.answer(kernels[name](payload, given));
    }
    begin().catch(() => {}); // a host that cannot: Python answers, as before
    return () => {
      isOver = true;
      clearTimeout(timer);
      stopAsking();
      both.dispose();
      end();
    };
  },
});
