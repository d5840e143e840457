// @ts-check
// The model's pictures at the screen's resolution, with boxes over them.
import { canvas, outline } from "../canvas.js";
import { node } from "../dom.js";
import { SIDE } from "./learn_draws.js";

/** @import { Surface } from "../canvas.js" */
/** @import { Scene } from "./learn_draws.js" */
/** @typedef {{ box: number[], colour: string, dash: number[] }} Drawn `box`: (cx, cy, w, h) as shares of the side */
/** @typedef {ReturnType<typeof createPainter>} Painter */

/** @param {string[]} addresses data addresses of the drawings, by concept */
export function createPainter(addresses) {
  const drawings = addresses.map((src) => node("img", { src }));
  return {
    ready: Promise.all(drawings.map((image) => image.decode())),

    /** @param {number} side CSS pixels */
    surface: (side) => canvas(side, side, { "aria-hidden": "true" }),

    /**
     * @param {Surface} surface
     * @param {Scene} scene
     * @param {Drawn[]} boxes
     */
    paint(surface, { things, ground }, boxes = []) {
      const { pen, wide } = surface;
      const k = wide / SIDE;
      pen.fillStyle = `rgb(${ground})`;
      pen.fillRect(0, 0, wide, wide);
      for (const { concept, x, y, width, height } of things)
        pen.drawImage(drawings[concept], x * k, y * k, width * k, height * k);
      for (const { box, colour, dash } of boxes) {
        const [cx, cy, w, h] = box.map((share) => share * wide);
        outline(
          pen,
          [cx - w / 2, cy - h / 2, w, h],
          [
            ["#ffffff", 6],
            [colour, 3, dash],
          ],
        );
      }
    },
  };
}
