"""Modules are joined into one that does the same, or not at all."""

import re
from pathlib import Path

import javascript
import pytest

from xfm_widgets import esm
from xfm_widgets.pages import STATIC


def modules(folder: Path, **sources: str) -> Path:
    """Written as name.js; the first one's path."""
    for name, source in sources.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")
    return folder / f"{next(iter(sources))}.js"


def test_a_joined_module_does_what_its_modules_do(tmp_path: Path) -> None:
    view = """// @ts-check
import { count, one as first } from "./a.js";
import {
  two,
  Three,
} from "./b.js";
const secret = "the view's";
export default { render: () => [count(), first, two(), new Three().name, secret, helper()] };
function helper() {
  return "a function that comes later";
}
"""
    a = """let n = 0;
export const count = () => ++n;
export const one = "a";
const secret = "a's";
void secret;
"""
    b = """import { count } from "./a.js";
const secret = "b's";
export function two() {
  return `${secret} ${count()}`;
}
class Third {
  name = "export { nothing };";
}
export { Third as Three };
"""
    entry = modules(tmp_path, view=view, a=a, b=b)
    script = esm.join(entry)
    names = re.findall(r"^const (\$\w+) =", script, re.MULTILINE)
    assert [name for name in names if name != "$default"] == ["$a", "$b", "$view"]
    found = javascript.run(f"{script}\nanswer({esm.export(entry)}.render());")
    assert found == [1, "a", "b's 2", "export { nothing };", "the view's", "a function that comes later"]


def test_every_module_joins_once_the_same_each_time_and_exports_under_node_what_it_did() -> None:
    entries = sorted(STATIC.rglob("*.js"))
    script = esm.join(*entries)
    once = re.findall(r"^const (\$\w+) = \(\(\) => \{$", script, re.MULTILINE)
    assert script == esm.join(*entries) and len(once) == len({*once}) >= len(entries) > 60
    paths = ", ".join(f'import("./{entry.relative_to(STATIC).as_posix()}")' for entry in entries)
    names = javascript.run(f"answer((await Promise.all([{paths}])).map((own) => Object.keys(own).sort()));")
    constants = ", ".join(map(esm.constant, entries))
    joined = javascript.run(f"{script}\nanswer([{constants}].map((own) => Object.keys(own).sort()));")
    assert joined == names


REFUSED = {
    "a cycle: view.js → view.js": ['import { a } from "./view.js";'],
    "a cycle: view.js → c.js → view.js": ['import { f } from "./c.js";'],
    "missing.js, which view.js imports, is not there": ['import { a } from "./missing.js";'],
    "view.js imports hidden, which b.js does not export": ['import { hidden } from "./b.js";'],
    "must be a file of the views": ['import { a } from "https://example.org/a.js";', 'import { a } from "lodash";'],
    "more than join": [
        'import * as b from "./b.js";', 'import b from "./b.js";', 'const b = await import("./b.js");',
        "console.log(import.meta.url);", "export let n = 0;", 'export * from "./b.js";',
        'export { shown } from "./b.js";', "export default function f() {}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, why: str) -> None:
    others = {"b": "export const shown = 1;\nconst hidden = 2;\nvoid hidden;\n"}
    others["c"] = 'import { a } from "./view.js";\nexport const f = a;\n'
    for source in REFUSED[why]:
        with pytest.raises(esm.JoinError, match=re.escape(why)):
            esm.join(modules(tmp_path, view=source, **others))
