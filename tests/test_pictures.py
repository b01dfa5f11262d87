"""Pictures of screens: every character on its cells, the same bytes for the same screen."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from appliance.locale import catalogue
from appliance.wizard.titles import TITLES
from demo.pictures import SCENES, write_page
from demo.svg import CELL, EDGE, ROW, to_svg, to_text
from tests.screen import Emulator, pyte

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, columns: int = 20, rows: int = 3) -> Emulator:
    """A screen on which `text` was written."""
    screen = Emulator(columns, rows, lambda answer: None)
    pyte.Stream(screen).feed(text)
    return screen


def pieces(svg: str, kind: str = "text") -> list[dict[str, str]]:
    """The elements of one kind within the screen: their attributes, and their text as `text`."""
    root = ElementTree.fromstring(svg)  # noqa: S314  (made here)
    group = root.find(f"{SVG}g")
    assert group is not None
    return [{**element.attrib, "text": element.text or ""} for element in group.findall(f"{SVG}{kind}")]


def test_a_wide_character_begins_where_its_two_cells_begin() -> None:
    latin, chinese, end = pieces(to_svg(drawn("ab 中文 c"), "t"))
    assert (latin["text"], latin["x"], latin["textLength"]) == ("ab", "0", "18")
    assert (chinese["text"], chinese["x"]) == ("中文", "27 45")
    assert (end["text"], end["x"]) == ("c", "72")


def test_a_run_is_as_long_as_its_cells_and_blanks_inside_stay() -> None:
    (run,) = pieces(to_svg(drawn("   a  b   "), "t"))
    assert (run["text"], run["x"], run["textLength"]) == ("a  b", str(3 * CELL), str(4 * CELL))


def test_rows_stand_below_each_other() -> None:
    first, second = pieces(to_svg(drawn("a\r\nb"), "t"))
    assert int(second["y"]) - int(first["y"]) == ROW


def test_styles_are_kept() -> None:
    svg = to_svg(drawn("\x1b[1mB\x1b[0;4mU\x1b[0;3mI\x1b[0;9mS\x1b[0;2mF\x1b[0;38;2;1;2;3mC\x1b[0mN"), "t")
    found = [(each["text"], each.get("class", ""), each.get("fill", "")) for each in pieces(svg)]
    assert found == [
        ("B", "b", ""),
        ("U", "u", ""),
        ("I", "i", ""),
        ("S", "s", ""),
        ("F", "f", ""),
        ("C", "", "#010203"),
        ("N", "", ""),
    ]


def test_reverse_is_paper_for_ink_with_a_rectangle_behind() -> None:
    svg = to_svg(drawn("a\x1b[38;2;1;2;3;48;2;4;5;6;7m中 \x1b[0mb"), "t")
    (behind,) = pieces(svg, "rect")
    assert (behind["x"], behind["width"], behind["fill"]) == (str(CELL), str(3 * CELL), "#010203")
    assert pieces(svg)[1]["fill"] == "#040506"


def test_underlined_blanks_are_seen() -> None:
    (run,) = pieces(to_svg(drawn("\x1b[4m   \x1b[0m   "), "t"))
    assert (run["text"], run["textLength"]) == ("   ", str(3 * CELL))


def test_half_of_a_wide_character_is_a_blank_as_in_a_terminal() -> None:
    assert to_text(drawn("中文\x1b[1;2Hx")) == " x文\n"
    assert to_text(drawn("中文\x1b[1;3Hx")) == "中x\n"


def test_a_picture_has_the_size_of_its_grid_a_title_and_no_reference_outwards() -> None:
    svg = to_svg(drawn("<&>"), "Data & check")
    root = ElementTree.fromstring(svg)  # noqa: S314  (made here)
    assert (root.get("width"), root.get("height")) == (str(20 * CELL + 2 * EDGE), str(3 * ROW + 2 * EDGE))
    assert root.findtext(f"{SVG}title") == "Data & check"
    assert pieces(svg)[0]["text"] == "<&>"
    assert "href" not in svg
    assert "url(" not in svg
    assert "@import" not in svg


def test_the_same_screen_is_the_same_bytes() -> None:
    assert to_svg(drawn("中\x1b[31mx"), "t") == to_svg(drawn("中\x1b[31mx"), "t")


def test_the_main_screen_comes_back_after_the_second() -> None:
    assert to_text(drawn("kept\x1b[?1049h\x1b[2J\x1b[Hgone\x1b[?1049l")) == "kept\n"


def test_the_journey_of_the_pictures_speaks_of_pages_and_texts_that_there_are() -> None:
    shots = [shot for _, scene in SCENES for shot in scene]
    assert {shot.page for shot in shots} - {""} == set(TITLES)
    said = {shot.shows for shot in shots} | {
        key[1:-1] for shot in shots for key in shot.keys if key[0] == "["
    }
    assert [text for text in sorted(said - {""}) if not catalogue("zh_CN").knows(text)] == []
    names = [shot.name for shot in shots if shot.name]
    assert len(names) == len(set(names))


def test_the_page_shows_every_picture_in_every_language(tmp_path: Path) -> None:
    write_page(["01-home", "02-done"], tmp_path)
    page = (tmp_path / "README.md").read_text()
    for file in ("en/01-home.svg", "zh_CN/01-home.svg", "en/02-done.svg", "zh_CN/02-done.svg"):
        assert f"({file})" in page
