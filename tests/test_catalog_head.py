"""What a host reads of its catalog: quickly in the usual form, and rightly in any."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import made_in
from hypothesis import given
from hypothesis import strategies as st

import telemetry
from telemetry.catalog.head import Head, read_head
from telemetry.catalog.load import parse
from telemetry.client import Client
from telemetry.errors import ConfigError

RISINGWAVE = Path(telemetry.__file__).parent / "catalog" / "risingwave.toml"
PLAIN = '# of ours\n[catalog]\n  product = "shop" # ours\n\nversion = 3\r\npolicy_url="https://a/"\n[events.e]\n'


@pytest.mark.parametrize(
    ("text", "product"),
    [
        (PLAIN, "shop"),
        ('[catalog]\nproduct = "shop"', "shop"),
        ("[catalog]\nproduct = 'shop'\nversion = 1\n", "shop"),
        ('catalog = { product = "shop", version = 1 }', "shop"),
        ('catalog.product = "shop"', "shop"),
        ('[ catalog ]\nproduct = "shop"\n', "shop"),
        ('["catalog"]\nproduct = "shop"\n', "shop"),
        ('[catalog]\nproduct = """shop"""\n', "shop"),
        ('[catalog]\n"product" = "shop"\n', "shop"),
        ('\ufeff[catalog]\nproduct = "shop"\n', "shop"),
        ('[x]\ny = """\n[catalog]\nproduct = "other"\n"""\n[catalog]\nproduct = "shop"\n', "shop"),
        ("[x]\ny = '''\n[catalog]\nproduct = \"other\"\n'''\n[catalog]\nproduct = \"shop\"\n", "shop"),
        ('[catalog]\nproduct = "sh\\u006fp"\n', "shop"),
        ("[catalog]\nproduct = 5\n", ""),
        ('[catalog]\nversion = 5\n[events]\nproduct = "other"\n', ""),
        ("catalog = 5\n", ""),
        ("no TOML", ""),
        ("", ""),
        ("\0", ""),
    ],
)
def test_the_product_is_read_in_every_form(text: str, product: str) -> None:
    assert read_head(text.encode()).product == product


def test_what_is_no_utf_8_has_no_head() -> None:
    assert read_head(b"[catalog]\nproduct = '\xff'\n") == Head()


@given(st.text(st.sampled_from('[catalog]product="x"\n\' #=.{}')))
def test_the_quick_way_says_what_the_whole_file_says(text: str) -> None:
    try:
        whole = tomllib.loads(text).get("catalog")
    except ValueError:
        return
    product = whole.get("product") if isinstance(whole, dict) else None
    assert read_head(text.encode()).product == (product if isinstance(product, str) else "")


def test_risingwaves_catalog_names_its_own_opt_outs() -> None:
    head = read_head(RISINGWAVE.read_bytes())
    assert head.product == "risingwave"
    assert head.no_unless == parse(RISINGWAVE.read_bytes(), RISINGWAVE).no_unless
    assert head.no_unless.keys() == {"ENABLE_TELEMETRY", "RW_TELEMETRY_TYPE"}


@pytest.mark.parametrize("consent", ["on", "off"])
def test_a_product_that_is_not_the_catalogs_is_refused(tmp_path: Path, consent: str) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(PLAIN)
    with pytest.raises(ConfigError, match=r"product='shopp': the catalog .* is that of 'shop'"):
        Client(product="shopp", catalog=file, endpoint="https://h/", consent=consent)


@pytest.mark.parametrize("said", [{"ENABLE_TELEMETRY": "false"}, {"RW_TELEMETRY_TYPE": "test"}])
def test_risingwaves_own_no_is_heard_with_its_catalog(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    client = Client(product="risingwave", catalog=RISINGWAVE, endpoint="https://h/", consent="on")
    assert client.consent.rule == "=".join(*said.items())
    assert not made_in(home)


def test_a_usual_catalog_is_read_without_a_parser(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(PLAIN)
    code = (
        "import sys, telemetry\n"
        f"telemetry.init(product='shop', catalog={str(file)!r}, endpoint='https://h/', consent='off')\n"
        "print('tomllib' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
