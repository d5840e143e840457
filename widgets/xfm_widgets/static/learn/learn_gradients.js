// @ts-check
// Figure 1 with the gradients of this very step.
import { node } from "../dom.js";
import { crossesFromText, flowLayout } from "../flow_layout.js";
import { flowPicture, scaleLegend } from "../flow_picture.js";
import { short } from "../number_text.js";

/** @import { Encoder, FlowLoss } from "../payloads.d.ts" */
/** @import { Page } from "./learn_page.js" */
/** @import { Report } from "./learn_trainer.js" */

const PACE = 400; // ms between two pictures: a picture that changes faster cannot be read
const NARROW = 700; // CSS pixels, below which the encoders stand above each other

/**
 * @param {Page} page
 * @param {FlowLoss[]} losses
 */
export function gradientsScreen(page, losses) {
  const drawing = node("div", { className: "xfm-flow", tabIndex: 0, role: "region", "aria-label": "Picture" });
  const scale = node("p", { className: "xfm-soft xfm-scale" });
  const element = node("div", {}, drawing, scale);

  /** @type {Report | null} */
  let report = null; // which is shown
  let shown = ""; // with which choices, and how wide
  let drawnAt = 0;
  let timer = 0;

  /** @param {FlowLoss} loss @param {Encoder} encoder */
  const norm = (loss, encoder) =>
    (loss.encoders.includes(encoder) ? report?.norms[loss.name]?.[encoder] : null) ?? null;
  /** @param {FlowLoss} loss @param {Encoder} encoder */
  const share = (loss, encoder) =>
    encoder === "language" && loss.kind === "fusion" && crossesFromText(loss) && page.choices.stop ? 0 : 1;

  return {
    element,
    title: "Where does each loss's gradient go?",

    now() {
      const { choices } = page;
      if (!report) return "Each arrow will be the gradient norm of one loss in one encoder.";
      const joint = short(report.norms["itm+imlm"].language);
      const own = `MLM sends ${short(report.norms.mlm.language)}.`;
      const step = `In step ${report.step + 1}`;
      return choices.stop
        ? `${step} ITM and IMLM would send a gradient of ${joint} into the language encoder; the stop lets 0 through. ${own}`
        : `${step} ITM and IMLM send a gradient of ${joint} into the language encoder: nothing stops it. ${own}`;
    },

    begin() {
      report = null;
      shown = "";
    },

    draw() {
      const isNarrow = drawing.clientWidth > 0 && drawing.clientWidth < NARROW;
      const { stop, guidance: target } = page.choices;
      const early = drawnAt + PACE - performance.now();
      clearTimeout(timer);
      if (early > 0 && shown === `${stop} ${target} ${isNarrow}`) {
        timer = setTimeout(page.redraw, early);
        return;
      }
      [report, shown, drawnAt] = [page.report, `${stop} ${target} ${isNarrow}`, performance.now()];
      drawing.classList.toggle("xfm-narrow", isNarrow);
      const norms = losses.flatMap((loss) => loss.encoders.map((encoder) => norm(loss, encoder) ?? 0));
      const most = Math.max(...norms);
      const label = losses
        .map((loss) => `${loss.name}: ${loss.encoders.map((e) => `${e} ${short(norm(loss, e))}`).join(", ")}`)
        .join(". ");
      const layout = flowLayout(losses, isNarrow);
      drawing.replaceChildren(
        flowPicture({ layout, most, isOn: () => true, norm, share, target, label: `Gradient norms. ${label}` }),
      );
      scale.replaceChildren(...scaleLegend(most));
    },
  };
}
