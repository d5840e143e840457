"""How often each verdict is true that views and `Lab` give in words.

    python benchmarks/presence.py

The bundled checkpoint, test scenes, one thread. The sentences are the views' own, made by Node.js. GroundingPad: the
name of an object, a phrase for one, and as many that are false, in three forms and four styles. AttributionLab: whether
numbers explain more than equal ones of masked subsets that the verdict did not see, and whether the quarter of words or
patches that they rank first takes more of the score away than random quarters do. Validation scenes: how two random
halves of Shapley samples correlate, which AGREED of trust_verdict.js comes from.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import options, write
from scipy.stats import binomtest, spearmanr

import xfm
from xfm.base import seeding
from xfm.data.world.grammar import article, is_true
from xfm.data.world.parsing import readings
from xfm.data.world.styles import STYLES
from xfm.explain import attribute, faithfulness_report, make_inputs, seen_words
from xfm.explain.attribution import Attribution
from xfm.explain.box_prediction import presence
from xfm.explain.faithfulness import infidelity
from xfm.model.modes import eval_mode
from xfm_widgets.attributions import by_word, packed

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from javascript import run  # type: ignore[import-not-found]

SCENES, STYLED, EXPLAINED, HALVES, DRAWS, LIKELY = 200, 80, 60, 20, 40, 0.25
METHODS = "generic attention", "occlusion", "integrated gradients"
FORMS = {"the": "the {}", "a": "{article} {}", "no article": "{}"}
SENTENCES = """
import { presenceText } from "./doubts.js";
import { verdict } from "./trust_verdict.js";
const judged = ({ all, match }) => all.map((one) => verdict(one, all, match));
answer([data.presence.map(({ answer, phrase, own }) => presenceText(answer, phrase, own)), data.labs.map(judged)]);
"""
VERDICTS = "likely there|likely not there|not found|found|doubtful|Likely shows|With care|Not shown|No verdict"
Case = tuple[str, Any, Any]  # where it was asked, of what, and what is true


def phrases(lab: Any, world: Any, style: str) -> Iterator[Case]:
    """GroundingPad's answers, those of other styles as to pictures of the reader's own."""
    world, rng, seen = replace(world, styles=(style,)), seeding.rng("presence", style), seen_words(lab.data)
    own = style not in lab.data.world.styles
    scenes = [world.scene("test", i, seed=77) for i in range(STYLED if own else SCENES)]
    unseen = [] if own else [world.scene("unseen_concepts", i, seed=77) for i in range(STYLED)]
    asked: list[tuple[Any, str, str, bool]] = []
    for i, scene in enumerate(scenes):
        here = {o.name for o in scene.objects}
        false = next(p for s in scenes[i - 1 :: -1] + scenes for p in s.phrases if not is_true(p, scene.objects))
        asked += [(scene, form_of(p.text), p.text, there) for p, there in ((scene.phrases[0], True), (false, False))]
        for name in (min(here), rng.choice([name for name in world.names if name not in here])):
            worded = {form: text.format(name, article=article(name, name)) for form, text in FORMS.items()}
            asked += [(scene, form, phrase, name in here) for form, phrase in worded.items()]
    for scene in unseen:
        away = rng.choice([name for name in world.unseen_names if name != scene.objects[0].name])
        asked += [(scene, "a new name", f"the {name}", name != away) for name in (scene.objects[0].name, away)]
    for scene, form, phrase, there in asked:
        inputs = make_inputs(lab.model, lab.tokenizer, scene.image, phrase)
        with torch.no_grad():
            out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
            score = presence(out, out.head("bbp").boxes(out.fused))[0]
        answer = {"presence": score, "never_seen": seen.never(phrase), "begins": list(seen.begins(phrase))}
        yield f"{form}, {STYLES[style].family}", {"answer": answer, "phrase": phrase, "own": own}, there


def form_of(phrase: str) -> str:
    return {"the": "the", "a": "a", "an": "a", "some": "a"}.get(phrase.split()[0], "no article")


def labs(lab: Any, world: Any) -> Iterator[Case]:
    """A test scene with its caption, by METHODS; of each whether it shows what the model used."""
    for i in range(EXPLAINED):
        inputs = lab.inputs(world.scene("test", i, seed=77))
        if inputs.score() >= 0:
            made = [attribute(inputs, method) for method in METHODS]
            given = [packed(a, faithfulness_report(inputs, a, sensitive=False)) for a in made]
            sent = [{k: v for k, v in one.items() if not isinstance(v, bytes)} for one in given]
            ranks = [{"words": by_word(a).tolist(), "patches": a.patches.tolist()} for a in made]
            all_of = {"all": [s | r for s, r in zip(sent, ranks, strict=True)], "match": inputs.score()}
            yield "own caption", all_of, [used(inputs, a, i) for a in made]


def rejected(lab: Any, world: Any) -> list[bool]:
    """Of captions that ITM rejects (log-odds below 0), among scenes' own and as many that are false: are they false?"""
    scenes, found = [world.scene("test", i, seed=77) for i in range(SCENES)], []
    for i, scene in enumerate(scenes):
        false = next(s for s in scenes[i - 1 :: -1] + scenes if not is_true(s.caption, scene.objects)).text
        scores = {
            text: make_inputs(lab.model, lab.tokenizer, scene.image, text).score() for text in (scene.text, false)
        }
        found += [text == false for text, score in scores.items() if score < 0]
    return found


def used(inputs: Any, found: Attribution, seed: int) -> bool:
    """On other masked subsets."""
    alike = replace(found, patches=torch.ones_like(found.patches), text=torch.ones_like(found.text))
    if infidelity(inputs, found, seed + 1).mean() >= infidelity(inputs, alike, seed + 1).mean():
        return False
    rng, (patches, pieces) = np.random.default_rng(seed), inputs.keep_all
    for values, all_parts in ((found.patches, patches), (found.text, pieces & ~inputs.fixed)):
        places = np.flatnonzero(all_parts.numpy())
        count = max(1, len(places) // 4)
        top = places[np.argsort(-values.numpy()[places], kind="stable")[:count]]
        keep = torch.ones(1 + DRAWS, len(values), dtype=torch.bool)
        for row, gone in zip(keep, [top, *(rng.choice(places, count, False) for _ in range(DRAWS))], strict=True):
            row[gone] = False
        ones = (p.expand(1 + DRAWS, -1) for p in (patches, pieces))
        kept = [keep if values is mine else one for mine, one in zip((found.patches, found.text), ones, strict=True)]
        best, *others = inputs.masked_scores(*kept).tolist()
        if best >= np.mean(others):
            return False
    return True


def answers(lab: Any, world: Any, style: str) -> Iterator[tuple[str, str, bool]]:
    """Captions, and answers to validation's questions, that are not doubted or are, and whether they are true."""
    family = STYLES[style].family
    for scene in (replace(world, styles=(style,)).scene("test", i, seed=77) for i in range(STYLED)):
        caption = lab.caption(scene.image)
        is_right = is_true(next(readings(caption)).claims, scene.objects)
        yield f"caption, {family}", "doubtful" if caption.doubt else "no doubt", is_right
    task = lab.task("vqa").tuned().task
    for item in type(task)(lab.config.replace({"data.styles": style}), lab.tokenizer).items("test", STYLED):
        best = lab.ask(item.images[0], item.texts[0])[0]
        yield f"answer, {family}", "doubtful" if best.doubt else "no doubt", best.value == item.target


def halves(lab: Any, world: Any) -> list[float]:
    """Rank correlations over words and patches, sorted."""
    found = []
    for i in range(HALVES):
        inputs = lab.inputs(world.scene("validation", i, seed=77))
        both = [attribute(inputs, "shapley", seed) for seed in (1, 2)]
        alike: Any = spearmanr(*(np.r_[by_word(a), a.patches] for a in both))
        found.append(float(alike.statistic))
    return sorted(found)


def main() -> None:
    given, lab = options(__doc__), xfm.load("demo")
    world, told = lab.data.sources[0], defaultdict[tuple[str, str], list[bool]](list)
    with eval_mode(lab.model):
        asked = [case for style in STYLES for case in phrases(lab, world, style)]
        explained = [*labs(lab, world)]
        told["a true or a false caption", "rejected by ITM"] = rejected(lab, world)
        agree = halves(lab, world)
        rows = [row for style in STYLES for row in answers(lab, world, style)]
    sent = {"presence": [one for _, one, _ in asked], "labs": [one for _, one, _ in explained]}
    of_phrases, of_labs = run(SENTENCES, sent)
    for (where, one, there), sentence in zip(asked, of_phrases, strict=True):
        verdict = re.search(VERDICTS, sentence)[0]  # type: ignore[index]
        is_there = there if verdict != "No verdict" else there == (one["answer"]["presence"] >= LIKELY)
        told[where, verdict].append(is_there != ("not" in verdict))
    for (where, _, used_by), sentences in zip(explained, of_labs, strict=True):
        for shows, sentence in zip(used_by, sentences, strict=True):
            verdict = re.search(VERDICTS, sentence)[0]  # type: ignore[index]
            told[where, verdict].append(bool(not shows if verdict == "Not shown" else shows))
    for where, verdict, is_right in rows:
        told[where, verdict].append(is_right == (verdict == "no doubt"))
    table = []
    names = {"Likely shows": "likely shows what the model used", "Not shown": "not shown to be what the model used"}
    for (where, verdict), right in sorted(told.items(), key=lambda row: row[0][::-1]):
        low, high = binomtest(sum(right), len(right)).proportion_ci(method="wilson")
        ends = {"true": np.mean(right), "low": low, "high": high}
        table.append(
            {"where": where, "verdict": names.get(verdict, verdict.lower()), "n": len(right)}
            | {k: round(float(v), 3) for k, v in ends.items()}
        )
    write(given, verdicts=table, halves={"validation scenes": HALVES, "19 of 20 above": round(agree[HALVES // 20], 2)})


if __name__ == "__main__":
    main()
