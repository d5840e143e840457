"""Pairings of texts with pictures, in batches: against one pass of the fusion encoder."""

from __future__ import annotations

import pytest
import torch
from reference import batches

from xfm.model import ImageTokens
from xfm.tasks import pairings
from xfm.tasks.pairings import of_pairings


@pytest.mark.parametrize("of", ["pictures", "regions"])
@torch.no_grad()
def test_many_pairings_are_those_of_one_pass(of, monkeypatch) -> None:
    """In batches of texts of like length, in which only the pictures that they meet are projected."""
    monkeypatch.setattr(pairings, "PAIRINGS", 16)
    model, texts, pictures = batches.model(batches.config()), 12, 7
    grids, words = torch.randn(pictures, 9, 32).double(), batches.words(texts, 8, 1)
    states, owner, inside = torch.randn(texts, 8, 24).double(), torch.randint(pictures, (5,)), torch.rand(5, 9) < 0.5
    inside[:, 1] = True
    image = ImageTokens.of_pictures(grids) if of == "pictures" else ImageTokens.of_regions(grids, owner, inside)
    text, item = torch.randint(texts, (50,)), torch.randint(len(image.owner), (50,))
    text[:3], item[:3] = text[0], item[0]  # the same pairing more than once
    whole = model.fusion(states[text], words.mask[text], image, item)
    sizes, number = [], torch.arange(50, 100)
    cross = model.fusion.layers[0].cross
    project = cross.project
    cross.project = lambda memory: sizes.append(len(memory)) or project(memory)

    def head(hidden, chunk):
        assert len(hidden) <= 16
        return torch.cat([hidden[:, 0], number[chunk, None].double()], 1)

    found = of_pairings(model.fusion, states, words.mask, image, text, item, head)
    torch.testing.assert_close(found[:, :-1], whole[:, 0], rtol=1e-9, atol=1e-11)
    assert torch.equal(found[:, -1].long(), number), "in the order of the pairings"
    assert max(sizes[1::2]) <= pictures and len(sizes) == 2 * 4
