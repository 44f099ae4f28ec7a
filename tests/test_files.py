"""Files that appear whole, and never in place of another where that is promised."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rtrec.files import publish_new_text, publish_text


def test_a_new_text_is_written_beside_those_of_its_name(tmp_path):
    path = tmp_path / "reports" / "a.html"
    assert [publish_new_text(path, text) for text in "xyz"] == [
        path,
        path.with_name("a_2.html"),
        path.with_name("a_3.html"),
    ]
    publish_text(path, "over it")
    assert [each.read_text() for each in sorted(path.parent.iterdir())] == ["over it", "y", "z"]


def test_of_many_at_once_each_has_a_name_of_its_own(tmp_path):
    texts = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda text: publish_new_text(tmp_path / "a.html", text), texts))
    assert [path.read_text() for path in paths] == texts
    assert len(list(tmp_path.iterdir())) == 40
