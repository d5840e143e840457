"""Normalised answers and soft accuracy against the VQA challenge's own code."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.tasks.finetuning.protocol import APOSTROPHES, normalised, soft_accuracy

# vqaEval.py, without what a text in lower case never has (I'm, ...) and what stays as it is (let's, she's)
OFFICIAL = """
aint ain't arent aren't cant can't couldve could've couldnt couldn't couldn'tve couldn't've couldnt've couldn't've didnt
didn't doesnt doesn't dont don't hadnt hadn't hadnt've hadn't've hadn'tve hadn't've hasnt hasn't havent haven't hed he'd
hed've he'd've he'dve he'd've hes he's howd how'd howll how'll hows how's isnt isn't itd it'd itd've it'd've it'dve
it'd've itll it'll maam ma'am mightnt mightn't mightnt've mightn't've mightn'tve mightn't've mightve might've mustnt
mustn't mustve must've neednt needn't notve not've oclock o'clock oughtnt oughtn't ow's'at 'ow's'at 'ows'at 'ow's'at
'ow'sat 'ow's'at shant shan't shed've she'd've she'dve she'd've shouldve should've shouldnt shouldn't shouldnt've
shouldn't've shouldn'tve shouldn't've somebody'd somebodyd somebodyd've somebody'd've somebody'dve somebody'd've
somebodyll somebody'll somebodys somebody's someoned someone'd someoned've someone'd've someone'dve someone'd've
someonell someone'll someones someone's somethingd something'd somethingd've something'd've something'dve
something'd've somethingll something'll thats that's thered there'd thered've there'd've there'dve there'd've therere
there're theres there's theyd they'd theyd've they'd've they'dve they'd've theyll they'll theyre they're theyve they've
twas 'twas wasnt wasn't wed've we'd've we'dve we'd've weve we've werent weren't whatll what'll whatre what're whats
what's whatve what've whens when's whered where'd wheres where's whereve where've whod who'd whod've who'd've who'dve
who'd've wholl who'll whos who's whove who've whyll why'll whyre why're whys why's wont won't wouldve would've wouldnt
wouldn't wouldnt've wouldn't've wouldn'tve wouldn't've yall y'all yall'll y'all'll y'allll y'all'll yall'd've
y'all'd've y'alld've y'all'd've y'all'dve y'all'd've youd you'd youd've you'd've you'dve you'd've youll you'll youre
you're youve you've
""".split()
TABLE = dict(zip(OFFICIAL[::2], OFFICIAL[1::2], strict=True))


def test_contractions_are_the_official_ones() -> None:
    assert APOSTROPHES == TABLE


NORMALISED = {
    "The Dog": "dog", "a": "a", " The\n": "the", "?": "?", " ": "", "two": "2", "None": "0", "ten": "10",
    "twelve": "twelve", "dont know": "don't know", "2,000": "2000", "Yes.": "yes", "2.5": "2.5", "7:30": "7:30",
    "black-white": "black white", "black - white": "black white", "ice-cream, cone": "ice cream cone",
    "red/blue": "red blue", "red /blue": "red blue", "tom's": "tom's", "what?": "what", "(an) apple!": "apple",
    "  new\n\tyork ": "new york", "one two, three": "1 2 3",
}  # fmt: skip


def test_an_answer_is_normalised() -> None:
    assert {raw: normalised(raw) for raw in NORMALISED} == NORMALISED


def official(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    out = text
    for p in ';/[]"{}()=+\\_-><@`,?!':
        if p + " " in text or " " + p in text or re.search(r"(\d)(\,)(\d)", text) is not None:
            out = out.replace(p, "")
        else:
            out = out.replace(p, " ")
    out = re.sub(r"(?!<=\d)(\.)(?!\d)", "", out)
    numbers = "zero one two three four five six seven eight nine ten".split()
    digits = {"none": "0"} | {n: str(i) for i, n in enumerate(numbers)}
    words = [digits.get(w, w) for w in out.lower().split()]
    return " ".join(TABLE.get(w, w) for w in words if w not in ("a", "an", "the"))


@given(st.text(st.sampled_from("aAtTheno2 ,.-/'?!\n1"), max_size=14) | st.text(max_size=14))
def test_any_answer_is_normalised_as_the_official_code_does_if_that_leaves_anything(text: str) -> None:
    assert normalised(text) == (official(text) or re.sub(r"[\n\t]", " ", text).strip().lower())


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=10), st.sampled_from("abcd"))
def test_soft_accuracy_is_the_mean_over_subsets(answers: list[str], said: str) -> None:
    each = [min(1, (answers[:i] + answers[i + 1 :]).count(said) / 3) for i in range(len(answers))]
    assert soft_accuracy(said, answers) == pytest.approx(sum(each) / len(each))
    shares = [soft_accuracy("yes", ["yes"] * same + ["no"] * (10 - same)) for same in (0, 1, 2, 3, 4, 10)]
    assert shares == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1]), "the challenge's values of ten people"
