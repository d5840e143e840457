"""A folder for a browser alone: the explorable, and the page that learns.

Everything that the pages need lies beside them and nothing is fetched, so that the folder works from disk and on any
static host. The model comes as a script of its own, behind the first screen.
"""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm import recipes
from xfm.base import seeding
from xfm.base.files import write_atomically
from xfm.base.strings import parse_json
from xfm.data import dataset
from xfm.data.masking import block_mask
from xfm.data.world.crisp import rendered
from xfm.objectives import OBJECTIVES
from xfm.tasks import EvalContext

from . import esm
from .gradient_flow import described
from .learning_page import learning_page
from .page_model import as_in_page, page_model
from .pages import STATIC, dense, script_json, styles_of

if TYPE_CHECKING:
    from xfm import Lab

SCRIPT = STATIC / "explorable" / "explorable.js"
SHEET = "explorable/explorable"
NUMBERS = Path(__file__).with_name("explorable.json")
MODEL = "model.js"
TITLE = "How a vision–language model learns"
CRISP = 768  # pixels a side of a picture that is shown
GALLERY = 15  # captions and pictures beside the pair
FOIL = "lion"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src '{css_hash}';
 script-src '{script_hash}' 'strict-dynamic' 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{css}</style>
<main></main>
<script type="module">{script}</script>
</html>
"""


def write_site(folder: str | Path) -> Path:
    """Writes index.html (the explorable), model.js and learn.html (the page that learns). Returns index.html.

    Raises FileError where the system refuses a file."""
    import xfm

    folder, lab = Path(folder), xfm.load("demo")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "learn.html", learning_page())
    write_atomically(folder / "index.html", explorable_page(lab))
    payload = page_model(lab.model, lab.tokenizer)
    sent = payload | {"weights": {"$dense": dense(payload["weights"])}}
    write_atomically(folder / MODEL, f"xfmModel({script_json(sent)});\n")
    return folder / "index.html"


def explorable_page(lab: Lab) -> str:
    """The first screen's page."""
    story = script_json(story_of(lab))
    call = f'{esm.export(SCRIPT, "explorable")}({story}, document.querySelector("main"), "{MODEL}");'
    script, css = f"\n{esm.join(SCRIPT)}\n{call}\n", f"\nbody {{ margin: 0; }}\n{styles_of(SHEET)}"
    hashes = {"script_hash": digest(script), "css_hash": digest(css)}
    return PAGE.format(title=html.escape(TITLE), css=css, script=script, **hashes)


def digest(source: str) -> str:
    """An inline script or style, as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def story_of(lab: Lab) -> dict[str, Any]:
    """A `Story` of story.d.ts."""
    numbers = parse_json(NUMBERS.read_text("utf-8"))
    return {
        "numbers": numbers,
        "scene": scene_payload(lab, numbers["pair"]["index"], tuple(numbers["pair"]["concepts"])),
        "objectives": [
            described(name, OBJECTIVES[name].title, OBJECTIVES[name].kind()) for name in lab.model.objectives
        ],
    }


def scene_payload(lab: Lab, index: int, concepts: tuple[int, ...]) -> dict[str, Any]:
    """A `StoryScene` of story.d.ts: the test scene of this index and these concepts."""
    scene, config = lab.scene(index, concepts=concepts), lab.model.config
    others = [lab.scene(i, objects=2) for i in range(GALLERY)]
    context = EvalContext(as_in_page(lab.model), lab.config, lab.tokenizer)
    texts, images = context.text_features([s.text for s in (scene, *others)]), context.image_features([scene, *others])
    hard = int((texts[0] @ images[1:].T).argmax())
    itc: Any = lab.model.objectives["itc"]
    rule, grid = lab.config.data.mask, config.vision.grid
    mask = block_mask(grid, rule.image_patches, rule.smallest_block, seeding.rng("explorable", "mask"))
    return {
        **shown(scene),
        "caption": scene.text,
        "credit": scene.credit,
        "foil": FOIL,
        "names": [o.name for o in scene.objects],
        "phrases": [region.text for region in scene.regions],
        "boxes": [list(o.box) for o in scene.objects],
        "without": {o.name: shown(scene, o) for o in scene.objects},
        "watched": shown(dataset(recipes.demo()).world.scene("test", 0, concepts=concepts))["picture"],
        "mask": np.flatnonzero(mask).tolist(),
        "grid": grid,
        "heads": config.text.heads,
        "depths": {"vision": config.vision.depth, "language": config.text.depth, "fusion": config.fusion_depth},
        "other": {**shown(others[hard]), "caption": others[hard].text},
        "gallery": {
            "texts": [other.text for other in others],
            "text": texts[1:].detach().numpy().tobytes(),
            "image": images[1:].detach().numpy().tobytes(),
            "temperature": itc.temperature.item(),
        },
    }


def shown(scene: Any, without: Any = None) -> dict[str, Any]:
    """A `Shown` of story.d.ts: the picture crisp, and as the model sees it; `without`: an object that is left out."""
    image, objects = scene.image, [o for o in scene.objects if o is not without]
    if without:
        image = np.where(covered(scene, [without])[..., None], ground(scene), image).astype(np.uint8)
    picture = base64.b64encode(rendered(image, objects, CRISP)).decode()
    return {"picture": f"data:image/webp;base64,{picture}", "image": image.tobytes()}


def ground(scene: Any) -> np.ndarray:
    """(S, S, 3): the plane through what no object covers, the scene's colour or ramp without its grain."""
    free = ~covered(scene, scene.objects)
    rows, columns = np.mgrid[: len(free), : len(free)]
    grid = np.stack([np.ones_like(rows), rows, columns], -1).astype(float)
    return (grid @ np.linalg.lstsq(grid[free], scene.image[free].astype(float), rcond=None)[0] + 0.5).clip(0, 255)


def covered(scene: Any, objects: Any) -> np.ndarray:
    """(S, S) bool: the pixels that drawings are blended into, faint ones and neighbours too."""
    wide, side = np.zeros(np.add(scene.image.shape[:2], 2), bool), len(scene.image)
    for o in objects:
        wide[1:-1, 1:-1][o.place(o.sprite)] |= o.sprite[..., 3] > 0
    return np.any([wide[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
