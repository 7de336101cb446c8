"""Words and numbers of the report against closed forms and the whole of Unicode."""

import sys
import unicodedata

import pytest

from auditor.records import Certificate, Rate
from auditor.report.text import certify, chance, interval, percent, plural, points, size, visible


def test_no_character_of_unicode_gets_through_that_could_hide_or_fake_text():
    for code in range(sys.maxunicode + 1):
        shown = visible(chr(code))
        assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in shown), hex(code)
        if unicodedata.bidirectional(chr(code)) in {
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "PDF",
            "RLI",
            "LRI",
            "FSI",
            "PDI",
        }:
            assert shown.isascii(), hex(code)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[/]x.jpg", "[/]x.jpg"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("bad\udcff", r"bad\udcff"),
        ("two\nlines\t", r"two\x0alines\x09"),
        ("\U000e0041", r"\U000e0041"),
        ("日本 élan 🙂", "日本 élan 🙂"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


def test_rates_are_percent_with_one_decimal_and_nothing_counted_is_no_zero():
    assert percent(Rate(36, 39)) == "92.3"  # FG Det. of the paper's Table 7
    assert percent(Rate(0, 0)) == "–"
    assert percent(Rate(0, 7)) == "0.0"
    assert points(28 / 39 - 13 / 39) == "+38.5"
    assert points(-0.05) == "-5.0"
    assert points(None) == "–"
    assert interval((0.206, 0.4901)) == "21–49"
    assert interval(None) == ""


def test_a_small_chance_is_never_zero():
    assert [chance(p) for p in (0.0, 0.00099, 0.001, 0.04551, 1.0, None)] == [
        "<0.001",
        "<0.001",
        "0.001",
        "0.046",
        "1.000",
        "–",
    ]


def test_sizes_and_counts():
    assert [size(n) for n in (0, 1023, 1024, 1536, 5 * 2**30)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
    ]
    assert [plural(n, "image") for n in (0, 1, 12345)] == ["0 images", "1 image", "12,345 images"]


def test_the_certificate_says_what_was_measured_and_only_that():
    affine = Certificate("gap", "mlp", "exact-affine", 0.31, 7.7e-6, "taylor", 8, "LayerNorm after pooling.")
    said = certify(affine)
    assert "do not add up" in said
    assert "3.1e-01" in said
    assert "(taylor) 7.7e-06, on 8 images" in said
    assert said.endswith("LayerNorm after pooling.")
    bare = certify(Certificate("none", "none", "features-only", None, None, None, 0))
    assert "error" not in bare
    assert "not measured" in certify(None)
