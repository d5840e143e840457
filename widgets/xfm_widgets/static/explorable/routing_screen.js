// @ts-check
// The paper's Figure 1, alive: measured gradients of a committed run, and the switch of the stop.
import { player } from "../controls.js";
import { crossesFromText, flowLayout } from "../flow_layout.js";
import { flowPicture } from "../flow_picture.js";
import { short } from "../number_text.js";
import { choice, pick, place } from "./story_parts.js";

/** @import { Encoder, FlowLoss } from "../payloads.d.ts" */
/** @import { Screen } from "./story.d.ts" */

const NARROW = 760; // pixels below which the encoders stand above each other
const FUSION = ["itm", "imlm", "bbp"];

/** @type {Screen} */
export const routingScreen = {
  id: "routing",
  title: "Where does each loss’s gradient go?",
  make({ story, picture, controls, set }) {
    const { records } = story.numbers;
    const stop = choice(
      "Stop-gradient",
      /** @type {const} */ (["on", "off"]),
      (option) => set({ stop: option }),
      (option) => `stop ${option}`,
    );
    const steps = player(
      "step",
      { count: records.length, value: records.length - 1, format: (i) => String(records[i]?.step) },
      (i) => set({ step: String(i) }),
    );
    controls.append(stop.element, steps.element);
    picture.classList.add("xfm-gradient-flow");
    return (state) => {
      const isOn = pick(state, "stop", ["on", "off"]) === "on";
      const i = place(state, "step", records.length, records.length - 1);
      const record = records[i];
      stop.value(isOn ? "on" : "off");
      steps.value(i);
      const layout = flowLayout(story.objectives, picture.clientWidth < NARROW);
      const most = Math.max(...Object.values(record.norm).flatMap((norms) => Object.values(norms).map((n) => n ?? 0)));
      const norm = (/** @type {FlowLoss} */ { name }, /** @type {Encoder} */ encoder) =>
        record.norm[name]?.[encoder] ?? null;
      const share = (/** @type {FlowLoss} */ loss, /** @type {Encoder} */ encoder) =>
        isOn && encoder === "language" && crossesFromText(loss) && loss.kind === "fusion" ? 0 : 1;
      const into = Math.hypot(...FUSION.map((name) => record.norm[name]?.language ?? 0));
      const sentence = `Step ${record.step}, gradient norms into the language encoder: ITM, IMLM and BBP ${isOn ? `0, for the stop holds back ${short(into)} (root of the squares’ sum)` : short(into)}; MLM ${short(record.norm.mlm?.language)}, ITC ${short(record.norm.itc?.language)}.`;
      const svg = flowPicture({ layout, most, isOn: () => true, norm, share, target: "self", label: sentence });
      picture.replaceChildren(svg);
      const { width, height } = picture.getBoundingClientRect();
      const [wide, tall] = [layout.geometry.wide, layout.bottom - layout.top];
      const scale = Math.min(width / wide, Math.max(height, 300) / tall);
      svg.style.setProperty("--scale", String(scale));
      return sentence;
    };
  },
};
