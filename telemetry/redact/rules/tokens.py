"""Rules for tokens that their makers mark. No entropy is asked for: a placeholder too many is a harmless loss."""

from __future__ import annotations

import re
from typing import NamedTuple

from telemetry.redact.rules.opaque import USUAL_PAIRS
from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule, always


class _Vendor(NamedTuple):
    name: str
    shortest: str  # the shortest form: the prefilter as it stands
    example: str


_VENDORS = (
    _Vendor("aws", r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{12}", "AKIAIOSFODNN7EXAMPLE"),
    _Vendor(
        "github",
        r"(?:gh[pousr]_[A-Za-z0-9]{16}|github_pat_[A-Za-z0-9_]{16})",
        "ghp_0123456789abcdefABCDEF0123456789abcd",
    ),
    _Vendor(
        "gitlab", r"gl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_\-]{16}", "glpat-0123456789abcdefABCD"
    ),
    _Vendor("slack", r"xox[abeoprs]-[A-Za-z0-9\-]{8}", "xoxb-123456789012-abcdefABCDEF"),
    _Vendor("slack", r"xapp-[0-9]-[A-Za-z0-9\-]{8}", "xapp-1-A0123456789-abcdef"),
    _Vendor(
        "google",
        r"(?:AIza[A-Za-z0-9_\-]{20}|GOCSPX-[A-Za-z0-9_\-]{16}|ya29\.[A-Za-z0-9_\-]{16})",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    ),
    _Vendor("stripe", r"(?:sk|pk|rk)_(?:live|test|prod)_[A-Za-z0-9]{8}", "sk_live_0123456789abcdefABCDEF01"),
    _Vendor("stripe", r"whsec_[A-Za-z0-9+/]{16}", "whsec_0123456789abcdefABCDEF01"),
    _Vendor("anthropic", r"sk-ant-[A-Za-z0-9_\-]{8}", "sk-ant-api03-0123456789abcdefABCDEF"),
    _Vendor("openai", r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_]{16}", "sk-proj-0123456789abcdefABCDEF0123"),
    _Vendor("npm", r"npm_[A-Za-z0-9]{20}", "npm_0123456789abcdefABCDEF0123456789abcd"),
    _Vendor("pypi", r"pypi-[A-Za-z0-9_\-]{16}", "pypi-AgEIcHlwaS5vcmcCJDAwMDAwMDAw"),
    _Vendor("sendgrid", r"SG\.[A-Za-z0-9_\-=.]{16}", "SG.0123456789abcdefABCDEF.0123456789abcdefABCDEF"),
    _Vendor("twilio", r"(?:AC|SK)[0-9a-z]{32}", "SK0123456789abcdef0123456789abcdef"),
    _Vendor(
        "azure",
        r"s[a-z]{1,2}=[A-Za-z0-9:%\-]{1,40}(?:&s[a-z]{1,2}=[A-Za-z0-9:%\-]{1,40}){1,12}&sig=[A-Za-z0-9+/%]{20}",
        "sp=r&sv=2022-11-02&sr=c&sig=0123456789abcdefABCDEF0123456789abcd%3D",
    ),
    _Vendor(
        "azure",
        r"(?:AccountKey|SharedAccessKey|sig)=[A-Za-z0-9+/%]{20}",
        "AccountKey=0123456789abcdefABCDEF0123456789abcd==",
    ),
    _Vendor("azure", r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_.~\-]{20}", "abc8Q~0123456789abcdefABCDEF0123456789"),
    _Vendor("vault", r"hv[sbr]\.[A-Za-z0-9_\-]{16}", "hvs.CAESI0123456789abcdefABCDEF"),
    _Vendor("databricks", r"dapi[0-9a-f]{24}", "dapi0123456789abcdef0123456789abcdef"),
    _Vendor("huggingface", r"hf_[A-Za-z0-9]{20}", "hf_0123456789abcdefABCDEF0123456789"),
    _Vendor("digitalocean", r"do[opr]_v1_[0-9a-f]{24}", "dop_v1_0123456789abcdef0123456789abcdef"),
    _Vendor("docker", r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{16}", "dckr_pat_0123456789abcdefABCDEF"),
    _Vendor("shopify", r"shp(?:at|ca|pa|ss)_[0-9a-f]{20}", "shpat_0123456789abcdef0123456789abcdef"),
    _Vendor(
        "grafana", r"(?:glsa_[A-Za-z0-9]{20}|glc_[A-Za-z0-9+/]{20})", "glsa_0123456789abcdefABCDEF0123456789_01234567"
    ),
    _Vendor("sentry", r"sntry[su]_[A-Za-z0-9+/=_]{20}", "sntrys_0123456789abcdefABCDEF0123"),
    _Vendor("atlassian", r"AT(?:ATT3|CTT3|BB)[A-Za-z0-9_\-]{16}", "ATATT3xFfGF00123456789abcdef"),
    _Vendor("telegram", r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{30}", "123456789:AAH0123456789abcdefABCDEF0123456"),
    _Vendor(
        "discord",
        r"[MNO][A-Za-z0-9_\-]{23}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{20}",
        "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.0123456789abcdefABCDEF01234",
    ),
    _Vendor("mailgun", r"key-[0-9a-f]{32}", "key-0123456789abcdef0123456789abcdef"),
    _Vendor("newrelic", r"NR(?:AK|AL|II|JS)-[A-Za-z0-9]{12}", "NRAK-0123456789ABCDEFABCDEF0123"),
    _Vendor("age", r"AGE-SECRET-KEY-1[A-Z0-9]{20}", "AGE-SECRET-KEY-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    _Vendor("gitlab", r"GR1348941[A-Za-z0-9_\-]{16}", "GR13489410123456789abcdefABCD"),
    _Vendor("google", r"1//0[A-Za-z0-9_\-]{24}", "1//0abcdefABCDEF0123456789abcdefAB"),
    _Vendor("vault", r"s\.[A-Za-z0-9]{24}", "s.0123456789abcdefABCDEF01"),
    # <name>_ or <name>- and letters and digits: Linear, PlanetScale, Supabase, Notion, Postman, RubyGems, Figma,
    # Square, Doppler, Pulumi, Prefect, ReadMe, Typeform, Adobe, Sourcegraph, Groq, Perplexity, Brevo, Vercel, Frame.io,
    # Fly.io, Clojars, 1Password, Dynatrace, Harness, Duffel, Shippo, Contentful, Nuget, Heroku, Flutterwave.
    _Vendor(
        "other",
        r"(?:lin_api|sbp|ntn|secret|PMAK|rubygems|figd|dp\.[cps]t|dp\.scim|sq0[a-z]{3}|pul|pnu|"
        r"rdme|tfp|p8e|sgp|gsk|pplx|xkeysib|xsmtpsib|vc[kpir]|fio-u|fo1|CLOJARS|ops|dt0c01|pat|"
        r"shippo_(?:test|live)|CFPAT|HRKU|FLWSECK(?:_TEST)?|r8|BBDC|spu|pga[rw]|da2|API|thog-secret)[_\-.][A-Za-z0-9_\-]{20}",
        "lin_api_0123456789abcdefABCDEF0123456789",
    ),
    # <name> and letters and digits at once: Alibaba, Artifactory, EasyPost, Facebook, NuGet, Okta.
    _Vendor("other", r"(?:LTAI|AKCp[0-9]?|EZ[AT]K|EAA[A-Z]|oy2)[A-Za-z0-9]{20}", "LTAI0123456789abcdefABCD"),
    _Vendor(
        "other",
        r"(?:pscale_(?:tkn|pw|oauth)|duffel_(?:test|live))_[A-Za-z0-9_\-=.]{20}",
        "pscale_tkn_0123456789ab=defABCDEF01",
    ),
    _Vendor("other", r"AKC[A-Za-z0-9]{10}", "AKC0123456789a"),
    _Vendor(
        "other", r"t1\.[A-Za-z0-9_\-]{1,40}={0,2}\.[A-Za-z0-9_\-]{60}", "t1.9euelZq=." + "0123456789abcdefABCDEF" * 3
    ),
    _Vendor("other", r"sha256~[A-Za-z0-9_\-]{20}", "sha256~0123456789abcdefABCDEF0123456789abcdefABCDE"),
    _Vendor("other", r"(?:FLWSECK_TEST|thog-key)-[A-Za-z0-9]{12}", "FLWSECK_TEST-0123456789ab"),
    _Vendor("other", r"[0-9a-f]{8}:[0-9a-f]{8}", "0123abcd:4567cdef"),
    _Vendor("other", r"fm[12][ar]?_[A-Za-z0-9+/]{20}", "fm2_0123456789abcdefABCDEF01"),
    _Vendor("other", r"A3-[A-Z0-9]{6}-[A-Z0-9]{6}", "A3-ABC123-ABCDEF12345-ABCDE-12345-ABC12"),
    _Vendor(
        "other", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-]{20}", "abcdefABCDEF01.atlasv1.0123456789abcdefABCDEF01"
    ),
    _Vendor("other", r"[0-9a-f]{32}-us[0-9]{1,2}", "0123456789abcdef0123456789abcdef-us12"),
    # Settlemint, an organization of Hugging Face, Facebook's applications, Authress.
    _Vendor("other", r"sm_[aps]at_[A-Za-z0-9]{16}", "sm_pat_0123456789abcdef"),
    _Vendor("huggingface", r"api_org_[A-Za-z]{20}", "api_org_abcdefABCDEFabcdefABCDEFabcdefABCD"),
    _Vendor("other", r"[0-9]{15,16}(?:\||%7C)[A-Za-z0-9_\-]{20}", "012345678901234|0123456789abcdefABCDEF01234"),
    _Vendor(
        "other",
        r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_\-][a-z0-9\-]{10}",
        "sc_0123456789abcdef.abcd.acc-0123456789ab.0123456789=abcdef",
    ),
    _Vendor("other", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{24}", "v1.0-0123456789abcdef01234567-0123456789abcdef01234567"),
)
_USUAL_SHARE = 0.5  # of pairs of letters; random ones have a quarter
_LEFT = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_AWS_ID = re.compile(r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12}")
_AWS_PAIRED = re.compile(r"(?<![\w/+=])(?=[A-Za-z/+]{0,39}\d)[A-Za-z0-9/+]{40}(?![\w/+=])", re.ASCII)


def _aws_paired(match: re.Match[str]) -> str | None:
    return mark("secret:aws") if _AWS_ID.search(match.string) else None


# Of eight to nineteen letters and digits, without a maker's mark. (Longer ones are the business of `opaque`.)
_SHORT = re.compile(r"(?<![\w.@/\\+~:#$%-])(?:\d-)?(?P<token>[A-Za-z0-9]{8,19}={0,2})(?![\w@/\\+~:(-]|\.\w)", re.ASCII)
_MIXTURES = (r"[a-z]{2}[0-9]{1,4}[a-z]{2}", r"[0-9][a-z]{1,8}[0-9][a-z]", r"[a-z][0-9][a-z][0-9]")
_MIXED = re.compile("|".join(_MIXTURES), re.IGNORECASE)
_TYPED = re.compile(r"(?:u?int|float|utf|sha|md|base|crc|aes|mp|ipv|http|oauth)\d{1,3}(?=[A-Z_])", re.IGNORECASE)
_CLASS = re.compile(r"[a-z]+|[A-Z]+|[0-9]+")
_PAIR = re.compile(r"(?=([a-z]{2}))")
_HEX = re.compile(r"[0-9a-f]*|[0-9A-F]*")
_WORDS = re.compile(r"[A-Z][a-z]{3,}|[a-z]{5,}")
_SHARE_OF_A_WORD = 0.5
_MADE_RUNS = 6  # of one class of characters; `utf8mb4x86` has so many
_FEWEST_RUNS = 3
_SURE_CHARACTERS = 10  # with fewer, hardly a pair may be usual
_USUAL_SHARE_OF_FEW = 0.2


def is_made(value: str) -> bool:
    """Tell whether letters and digits alternate too often, or pairs are too unusual, for a name with a number."""
    runs = _CLASS.findall(_TYPED.sub("", value, count=1))
    digits = sum(map(str.isdigit, value))
    if not digits or len(runs) < _FEWEST_RUNS or _HEX.fullmatch("".join(runs)) or value[:2] in {"0x", "0X"}:
        return False
    if any(usual_share(word.lower()) >= _SHARE_OF_A_WORD for word in _WORDS.findall(value)):
        return False
    if len(runs) > _MADE_RUNS and len(runs) * 2 >= len(value) - 4:
        return True
    return usual_share(value.lower()) <= _USUAL_SHARE


def usual_share(letters: str) -> float:
    """Return the share of pairs of small letters that are usual in words; 0 if there is no pair."""
    pairs: list[str] = _PAIR.findall(letters)
    return sum(map(USUAL_PAIRS.__contains__, pairs)) / max(1, len(pairs))


_FEWEST_DISTINCT = 3  # `oO0OoO0OoO0Oo`


def _short(match: re.Match[str]) -> str | None:
    token = match["token"]
    made = _MIXED.search(token) and is_made(token) and len({*token.lower()}) > _FEWEST_DISTINCT
    if made and len(token) < _SURE_CHARACTERS:
        made = token.islower() and usual_share(token) <= _USUAL_SHARE_OF_FEW
    return mark("secret:other") if made else None


def _vendor_rule(vendor: _Vendor) -> Rule:
    name = f"secret:{vendor.name}"
    return Rule(
        name,
        (vendor.shortest,),
        re.compile(rf"{_LEFT}{vendor.shortest}(?:[\w\-+/=~]|\.(?=\w))*", re.ASCII),
        always(mark(name)),
        f"refused {vendor.example} at 3",
        f"refused [{name}] at 3",
    )


TOKENS = (
    Rule(
        "jwt",
        (r"eyJ[a-z0-9_+/\-]{8}",),
        re.compile(r"(?:ops_)?eyJ[\w+/-]{8,}={0,2}(?:\.{1,2}[\w+/-]+=*){0,4}", re.ASCII),
        always(mark("jwt")),
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl twice",
        "got [jwt] twice",
    ),
    Rule(
        "secret:aws",  # the secret that stands beside an access key id
        (r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12}",),
        _AWS_PAIRED,
        _aws_paired,
        "id AKIAIOSFODNN7EXAMPLE with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "id [secret:aws] with [secret:aws]",
    ),
    *map(_vendor_rule, _VENDORS),
)
SHORT_TOKENS = (
    Rule(
        "secret:other",
        _MIXTURES,
        _SHORT,
        _short,
        "kanban 11XQ98FVS8WI refused",
        "kanban [secret:other] refused",
        pace=3,
    ),
)
