"""The elements and texts of a page, as a parser finds them."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}
Element = tuple[str, dict[str, str], list[str]]  # tag, attributes, texts directly within


class Page(HTMLParser):
    """`open` holds the elements that nothing closes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.handle_startendtag(tag, attrs)
        self.open += self.elements[-1:] if tag not in VOID else []

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open:
            self.open[-1][2].append(data)

    def all(self, *tags: str) -> list[Element]:
        return [e for e in self.elements if e[0] in tags]

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _, _ in self.elements]

    def text(self) -> str:
        return " ".join("".join(t) for tag, _, t in self.elements if tag not in ("style", "script"))
