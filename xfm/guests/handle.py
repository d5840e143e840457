"""One handle on a guest, as `Lab` is on a run: `clip = xfm.load("open_clip:ViT-B-32", pretrained=file)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.fields import require
from ..base.images import ImageLike
from ..explain.attribution import Attribution, Method
from ..explain.inputs import AttributionInputs
from ..explain.method_table import attribute
from ..explain.prepare_inputs import example_inputs, make_inputs
from ..explain.targets import Target
from ..explain.tracing import Trace, trace
from ..tasks.retrieval_set import RetrievalSet
from .guest import Guest


class GuestLab:
    """A guest with what explanations and views need of it. Images may be a path, a PIL image, an array or the bytes of
    a file, of any size; the model's own transform prepares them."""

    def __init__(self, model: Guest):
        self.model: Any = model
        self.tokenizer = model.tokenizer

    def __repr__(self) -> str:
        return f"GuestLab: {self.model.label}"

    def inputs(
        self,
        image: ImageLike | Any,
        text: str = "",
        target: str | Target = "itc",
        about: int | None = None,
        among: Sequence[str] = (),
    ) -> AttributionInputs:
        """A picture and a text as what explanations are asked about: "itc", "word lion", or with `among` which of
        several texts the picture belongs to. Or a scene or an example, as `Lab.inputs` takes it."""
        given: Any = image
        if hasattr(given, "regions"):
            return example_inputs(self.model, self.tokenizer, given, target, about)
        target = self.model.among(text, among) if among else target
        return make_inputs(self.model, self.tokenizer, image, text, target)

    def trace(self, image: ImageLike, text: str, target: str | Target = "", **options: Any) -> Trace:
        """Every attention of one picture and one text in either tower: see `explain.trace`."""
        return trace(self.model, self.tokenizer, image, text, target, **options)

    def attribute(
        self,
        image: ImageLike | Any,
        text: str = "",
        method: str | Method = "generic attention",
        target: str | Target = "itc",
        about: int | None = None,
        among: Sequence[str] = (),
    ) -> Attribution:
        """Attribution of a target to words and patches, by one of `explain.METHODS` or a function."""
        return attribute(self.inputs(image, text, target, about, among), method)

    def retrieval_set(
        self, images: Sequence[ImageLike], texts: Sequence[str], truth: np.ndarray | None = None
    ) -> RetrievalSet:
        """Data of `RetrievalExplorer` for N pictures and N texts; `truth` (N, N) bool: which belong together, by
        default the first to the first, and so on. ConfigError for different numbers."""
        require(len(images) == len(texts), "texts", len(texts), f"{len(images)}, as many as there are images")
        features = self.model.features_of_images(images), self.model.features_of_texts(texts)
        pictures, sentences = (rows.float().cpu().numpy() for rows in features)
        prepared = np.stack([self.model.image(image)[0] for image in images])
        true = np.eye(len(texts), dtype=bool) if truth is None else np.asarray(truth, bool)
        return RetrievalSet(prepared, tuple(texts), pictures @ sentences.T, pictures, sentences, true)
