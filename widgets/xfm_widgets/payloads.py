"""What the views send to the browser: the one place where its shape is written down.

`widgets/payload_types.py` makes `static/payloads.d.ts` of these classes and of the views' traits, which `tsc` checks
the views against; tests/widgets/conftest.py checks what Python really sends. Arrays travel as little-endian bytes.
"""

from typing import Literal, NotRequired, TypedDict

Encoder = Literal["language", "vision", "fusion"]
LossKind = Literal["text", "image", "contrast", "fusion"]
Side = Literal["words", "patches"]
Scores = dict[str, float | None]  # by target


# ---- gradient flow


class FlowLoss(TypedDict):
    name: str
    title: str
    kind: LossKind  # where it stands, and so what its gradient has to cross
    encoders: list[Encoder]  # that its gradient reaches where nothing is stopped


class EncoderNorms(TypedDict):
    language: float | None
    vision: float | None
    fusion: float | None


Cosines = dict[str, dict[str, float | None]]  # by encoder and "itm mlm"; None: one of the two has no path


class FlowRecord(TypedDict):
    step: int
    norm: dict[str, EncoderNorms]  # by loss, as if nothing were stopped
    cosine: Cosines  # empty: not measured


class GradientFlowPayload(TypedDict):
    records: dict[str, list[FlowRecord]]  # by MIM target
    objectives: list[FlowLoss]
    measures: bool  # Python can measure cosines


# ---- trace explorer


class CodedWeights(TypedDict):
    codes: bytes  # uint8 (layer, head, query, key), each row's largest as 255
    scale: bytes  # float32 (layer, head, query), each row's largest


class PackedMap(CodedWeights):
    size: list[int]  # layers, heads, queries, keys
    queries: Side
    keys: Side
    entropy: bytes  # float32 (layer, head)
    mass: bytes  # float32 (layer, head)
    counted: str  # what the mass is of, in words
    rollout: NotRequired[CodedWeights]


class TraceBox(TypedDict):
    box: list[float]  # x, y, width, height in pixels
    pieces: list[int]


class PackedTrace(TypedDict):
    maps: dict[str, PackedMap]
    pieces: list[str]
    owner: list[int]  # of each piece, its word; -1: none
    grid: int
    side: int
    image: bytes  # uint8 (side, side, 3)
    boxes: list[TraceBox]


class TraceExplorerPayload(TypedDict):
    labels: list[str]
    traces: dict[str, PackedTrace]
    takes: bool  # sentences and pictures of the reader's own


class SentTrace(TypedDict, total=False):  # empty before anything was asked for
    label: str
    trace: PackedTrace


# ---- training monitor


class MonitorLevel(TypedDict):
    value: float
    name: str
    kind: Literal["chance", "constant"]  # what the config implies, or what a constant prediction reaches on the data


class MonitorRun(TypedDict):
    label: str
    state: str
    of: int  # steps in all
    joins: dict[str, int]  # by curve: its loss joins after this step
    levels: dict[str, MonitorLevel]  # by curve: what is reached without having learnt anything
    curriculum: list[int]  # pairs show one object until this step, all that they have from that one; or empty
    every: int  # steps that a point is the mean of
    curves: dict[str, bytes]  # float32: steps done, value, steps done, value, ...


class MonitorPanel(TypedDict):
    key: str  # of the curve
    group: str
    title: str
    unit: str
    dense: bool  # a value a step or nearly, so that a running mean tells more than the values


class SamplePicture(TypedDict):
    step: int
    png: bytes


class TrainingMonitorPayload(TypedDict):
    version: int
    runs: list[MonitorRun]
    pictures: list[SamplePicture]
    groups: list[str]
    live: bool
    panels: list[MonitorPanel]


class MonitorNews(TypedDict, total=False):  # empty before anything is new
    version: int
    runs: list[dict[str, bytes]]
    pictures: list[SamplePicture]


# ---- attribution lab

Trusted = tuple[
    str, float | None, list[tuple[str, float | None]], bool
]  # score, value, baselines' values, more is better


class DrawnAttribution(TypedDict):
    method: str
    target: str
    signed: bool
    unit: str  # "the target's unit", "share of attention", ...; "": its own
    gap: float | None
    verdict: str  # what the scores say, in a sentence
    trust: list[Trusted]
    patches: bytes  # float32
    words: bytes  # float32


class LabObject(TypedDict):
    name: str
    mask: bytes  # a bit a pixel
    patches: list[int]


class RemovedParts(TypedDict):
    words: list[int]
    objects: list[str]
    patches: list[int]


class AttributionLabPayload(TypedDict):
    image: bytes
    side: int
    grid: int
    words: list[str]
    owner: list[int]
    methods: list[str]
    targets: list[str]
    most: int  # methods at once
    units: dict[str, str]
    can: bool  # Python computes scores after a removal
    takes: bool  # pictures of the reader's own
    more: list[str]  # methods that Python can add
    found: list[DrawnAttribution]
    objects: list[LabObject]


class RemovalScores(TypedDict, total=False):
    of: RemovedParts
    before: Scores
    after: Scores


class PageTruth(TypedDict):
    """What a target's text is about, where that is known."""

    pixels: list[int]  # of each patch, those that are true
    size: int  # pixels of a patch
    names: list[int]  # pieces that name it
    baselines: dict[str, Scores]  # scores against it


class PageTarget(TypedDict):
    name: str
    places: list[int]  # of a word that is masked and asked for; else empty
    ids: list[int]  # of its tokens
    truth: NotRequired[PageTruth | None]


class PageMethod(TypedDict):
    signed: bool
    unit: str
    complete: bool


class SingleRemovals(TypedDict, total=False):
    words: list[Scores]
    objects: dict[str, Scores]


# ---- ablation explorer


class StudyMetric(TypedDict):
    metric: str
    role: str
    family: str
    unit: str
    better: str  # "higher", "lower", or neither
    baseline: float | None  # what a model that has learnt nothing reaches
    baseline_name: str
    step_0: float | None  # what the reference's own training began with
    floor: bool  # every variant is near the baseline, or worse


class StudyEffect(TypedDict):
    variant: str
    metric: str
    against: str
    note: str
    verdict: str  # by the test that judges the effect
    judged_by: Literal["Holm", "gatekeeping", "interval"]
    correction: Literal["Holm", "gatekeeping", ""]  # of p_holm, whatever judges
    equivalent: Literal["yes", "not shown", ""]  # within the margin, by two one-sided tests; "": none was stated
    effect: float | None
    low: float | None
    high: float | None
    mean: float | None
    mean_against: float | None
    n: float | None
    p: float | None
    p_min: float | None
    p_holm: float | None
    d: float | None
    margin: float | None
    p_equivalent: float | None


class StudyBand(TypedDict):
    steps: list[float]
    n: int  # seeds
    mean: list[float | None]
    least: list[float | None]
    most: list[float | None]
    low: NotRequired[list[float | None]]
    high: NotRequired[list[float | None]]


class TableText(TypedDict):
    head: list[str]
    rows: list[str]
    foot: list[str]


class AblationExplorerPayload(TypedDict):
    name: str
    kind: str
    metrics: list[StudyMetric]
    variants: list[str]
    order: list[str]  # of all variants, the reference too
    effects: list[StudyEffect]
    pairs: bytes  # float32: metric, variant, seed, value of the reference, value
    texts: dict[str, TableText]
    curves: dict[str, dict[str, StudyBand]]  # by curve and variant


# ---- mask playground


class GuessedPiece(TypedDict):
    guesses: list[tuple[str, float | None]]
    truth: float | None


MaskedPiece = TypedDict(
    "MaskedPiece", {"place": int, "piece": str, "with": GuessedPiece | None, "without": GuessedPiece | None}
)


class HiddenParts(TypedDict):
    patches: list[int]
    pieces: list[int]


class MaskPlaygroundPayload(TypedDict):
    image: bytes
    side: int
    grid: int
    pieces: list[str]
    owner: list[int]
    can: bool  # Python guesses what is hidden
    takes: bool  # pictures of the reader's own


class MaskAnswer(TypedDict, total=False):
    of: HiddenParts
    words: list[MaskedPiece]
    agreement: bytes | None  # float32, a cosine a patch
    target: str | None


# ---- retrieval explorer


class Plane(TypedDict):
    places: bytes  # float32 (2 N, 2): pictures, then sentences
    shares: list[float]  # of the variance, along each axis


class RetrievalExplorerPayload(TypedDict):
    texts: list[str]
    side: int
    sprite: bytes  # uint8 (N side, side, 3): all pictures below each other
    k: int  # of each query's candidates, the best by ITC that ITM orders again
    itc: bytes  # float32 (picture, sentence)
    truth: bytes  # uint8 (picture, sentence)
    itm: bytes | None  # float32 (picture, sentence), NaN where not asked
    asks: bool  # Python has a `rerank`
    asked: dict[str, bytes]  # what it returned: "image to text 3" -> float32 (candidate), NaN where not asked
    scores: bool  # Python has a `score`, which answers queries of one's own
    planes: dict[Literal["together", "apart"], Plane]


class Selection(TypedDict, total=False):
    pictures: list[int]
    sentences: list[int]


class AskedRow(TypedDict, total=False):  # empty before there is one
    query: str
    row: bytes
    count: int  # of all queries that were asked


class OwnAnswer(TypedDict):
    itc: bytes  # float32 (candidate)
    itm: bytes | None  # float32 (candidate), NaN where not asked
    text: NotRequired[str]  # the sentence that it is of
    split: NotRequired[list[tuple[str, list[str]]]]  # words of it that are several pieces
    never_seen: NotRequired[list[str] | None]  # None: not known
    picture: NotRequired[bytes | None]  # uint8 (side, side, 3), the picture that it is of


# ---- grounding pad


class Candidate(TypedDict):
    box: list[float] | None
    share: float | None  # of the masked pictures
    presence: float | None


class GroundedPhrase(TypedDict):
    box: list[float] | None
    iou: float | None
    presence: float | None  # ITM's probability of the phrase and the box
    candidates: list[Candidate]
    split: list[tuple[str, list[str]]]  # words that are several pieces
    never_seen: list[str] | None  # None: not known
    pieces: list[str]
    shape: list[int]  # layers, heads, pieces, image tokens, grid; empty without attention
    weights: NotRequired[bytes]
    most: NotRequired[bytes]


class GroundedPicture(TypedDict):
    image: bytes
    height: int
    width: int
    boxes: dict[str, list[float]]  # phrase: x, y, width, height in pixels
    found: dict[str, GroundedPhrase]


class GroundingPadPayload(TypedDict):
    pictures: list[GroundedPicture]
    takes: bool  # pictures of the reader's own


class NewestFinding(TypedDict, total=False):  # empty before there is one
    scene: int
    phrase: str
    answer: GroundedPhrase
    count: int  # of all findings of that picture


# ---- task explorer


class TaskSaid(TypedDict):
    answer: str
    box: list[float] | None  # cx, cy, width, height as shares of the picture, where the answer is one
    confidence: float | None
    right: bool


class TaskItem(TypedDict):
    index: int  # in the test set
    texts: list[str]
    pictures: list[int]  # places among the payload's
    truth: str
    box: list[float] | None
    said: list[TaskSaid]  # by model
    disagree: bool


class TaskMetric(TypedDict):
    metric: str
    value: float
    low: float
    high: float
    baseline: float | None
    baseline_name: str
    unit: str


class ConfidenceBin(TypedDict):
    low: float
    high: float
    n: int
    right: float | None  # the share; None: of no answer


class TaskModel(TypedDict):
    name: str
    metrics: list[TaskMetric]
    right: int  # of all test items
    bins: list[ConfidenceBin]  # empty: no answer has a confidence


class TaskExplorerPayload(TypedDict):
    title: str
    counts: dict[Literal["all", "right", "wrong", "disagree"], int]  # of all test items
    items: list[TaskItem]  # those that are shown
    pictures: list[bytes]  # PNG or JPEG
    models: list[TaskModel]
    opens: bool  # Python traces and attributes
    asks: bool  # Python answers a text of the reader's own


class OwnSaid(TypedDict):
    answer: str
    box: list[float] | None
    confidence: float | None


class TaskAnswer(TypedDict, total=False):  # empty before anything was asked
    item: int
    which: int
    text: str
    answers: list[OwnSaid]


class OpenedView(TypedDict, total=False):  # empty before one was opened
    kind: Literal["trace", "attribute"]
    item: int
    which: int
    page: str  # HTML, for a frame of its own


# ---- the model in the page


class PackedTensor(TypedDict):
    shape: list[int]
    at: int  # the byte where its numbers begin: float32, or with `scales` int8
    scales: NotRequired[int]  # the byte where its rows' scales begin, float32


class PageTokenizer(TypedDict):
    vocabulary: list[str]  # by id
    merges: list[str]  # "a b", the first learnt first
    special: list[tuple[str, bool]]  # found in any text; whether the white space before it is its own
    lower: bool
    space: bool  # a text begins with a space


class PageConfig(TypedDict):
    side: int  # pixels
    patch: int  # pixels a side
    vision_depth: int
    vision_heads: int
    text_depth: int
    text_heads: int
    text_epsilon: float  # of the norms of the language encoder
    fusion_depth: int
    longest: int  # ids of a text
    heads: list[str]  # losses whose heads it has


class MaskConfigPayload(TypedDict):
    patches: int  # of a picture, hidden at random
    smallest: int  # patches of a block
    share: float  # of a text's pieces ...
    most: int
    spans: float  # ... that share of which grow


class PageSeeds(TypedDict):
    """What Python's draws begin with, 32 bits each."""

    shapley: int
    candidates: int
    ties: int  # of numbers, in curves
    infidelity: int


class SeenWordsPayload(TypedDict):
    words: list[str]
    held_out: list[str]


class PageModelPayload(TypedDict):
    config: PageConfig
    tensors: dict[str, PackedTensor]  # by the parameter's name
    weights: bytes
    tokenizer: PageTokenizer
    seeds: PageSeeds


# ---- every view


class Tools(TypedDict):
    view: str  # the class's name, which a state names
    choices: list[str]  # what the reader chooses: reset, undone, copied
    terms: list[tuple[str, str]]  # that the view uses, and what they mean
    figure: str  # the class of the figure behind the view


class Limit(TypedDict):
    """What a choice can be, for pages without Python; see choices.py."""

    kind: Literal["flag", "text", "option", "share", "place", "places", "names", "texts", "selected"]
    of: NotRequired[list[str]]
    count: NotRequired[int]
    least: NotRequired[int]
    most: NotRequired[float]


# The dictionaries among each view's traits; what the other traits hold, they say themselves.
OWN: dict[str, dict[str, object]] = {
    "AblationExplorer": {"payload": AblationExplorerPayload},
    "AttributionLab": {
        "payload": AttributionLabPayload,
        "scores": RemovalScores,
        "singles": SingleRemovals,
    },
    "GradientFlow": {"payload": GradientFlowPayload, "measured": dict[str, Cosines]},
    "GroundingPad": {"payload": GroundingPadPayload, "newest": NewestFinding},
    "MaskPlayground": {"payload": MaskPlaygroundPayload, "answer": MaskAnswer},
    "RetrievalExplorer": {
        "payload": RetrievalExplorerPayload,
        "selected": Selection,
        "newest": AskedRow,
        "own_scores": dict[str, OwnAnswer],
    },
    "TaskExplorer": {"payload": TaskExplorerPayload, "answered": TaskAnswer, "opened": OpenedView},
    "TraceExplorer": {"payload": TraceExplorerPayload, "sent": SentTrace},
    "TrainingMonitor": {"payload": TrainingMonitorPayload, "news": MonitorNews},
}
DICTIONARIES = {view: {"tools": Tools, **own} for view, own in OWN.items()}
