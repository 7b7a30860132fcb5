"""Recall and precision over collections: forms of secrets from public rule sets, ordinary lines."""

import base64
import importlib
import inspect
import json
import random
import re
import string

import pytest

from agentinfra.observability.redaction import Redactor

BODY = "Zq7Xk2Vb9Lm4Np8Rt3Wy6Hc1"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
BASIC = base64.b64encode(f"u:{BODY}".encode()).decode()
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJ{BODY}.sig{BODY}"

TOKENS = """
sk-B sk-proj-B sk-ant-api03-B sk-or-v1-H sk-lf-B sk-svcacct-B sk_live_B sk_test_B rk_live_B
whsec_B AKIAU ASIAU ghp_B ghs_B gho_B ghu_B ghr_B github_pat_B_B glpat-B gldt-B glrt-B
xoxb-123456789012-B xoxp-123456789012-B xapp-1-A0B1C2-B AIzaBB ya29.B GOCSPX-B hf_B gsk_B
xai-B pplx-B nvapi-B r8_B tgp_v1_B lsv2_pt_B_B lsv2_sk_B_B pcsk_B tvly-B jina_B e2b_B fc-H
csk-B npm_B pypi-AgEIB rubygems_B CLOJARS_B dckr_pat_B SG.B.B xkeysib-B key-H H-us21 SKH
dop_v1_B doo_v1_B hvs.B hvb.B tskey-auth-B shpat_B shpss_B sq0atp-B sq0csp-B EAAAB dapiH
dp.pt.B figd_B lin_api_B ntn_B secret_B PMAK-B NRAK-B glsa_B glc_B sntrys_B sntryu_B ATATT3B
ATBBB AGE-SECRET-KEY-1B pscale_tkn_B pscale_pw_B sbp_B sb_secret_B fm2_B pul-HH HRKU-B pnu_B
rdme_B shippo_live_B duffel_live_B EZAKB rzp_live_B phx_B sgp_B sha256~B 123456789:AAB J
ops_eyJB ABSKB LTAIB AKCpB cmVmdB p8e-B GR1348941B glffct-B gloas-B glcbt-1a_B glrt-t1_B xoxe-1-B
xoxe.xoxp-1-B tk-us-B sm_pat_B s-s4t2ud-H dt0c01.B.B fm1r_B EAAMB FLWPUBK_TEST-H NRIQ-B BBDC-B
BBFF-B CFPAT-B pat-na1-B rh-api-H endr+B aio_B apify_api_B bb_pr_B bkua_B CCIPAT_B cfk_B figp_B
flb_live_B shltm_B ramp_sec_B sqco_B rootly_H slk_H test_H pk_H ak_live_B sq0csi-B ZXlKB 1000.H.H
"""

TEXTS = {
    "assignment": "AWS_SECRET_ACCESS_KEY={B}",
    "spaced assignment": "aws_secret_access_key = {B}",
    "export": "export OPENAI_API_KEY={B}",
    "header": "x-api-key: {B}",
    "hex header": "api-key: {H}",
    "bearer": "Authorization: Bearer {J}",
    "lower bearer": "bearer {B}",
    "folded header": "Authorization:\n  Bearer {B}",
    "basic": "Authorization: Basic {A}",
    "bare basic": "got Basic {A}",
    "digest": 'Authorization: Digest username="u", response="{H}"',
    "cookie": "Cookie: sessionid={B}; x=1",
    "set-cookie": "Set-Cookie: sid={B}; Path=/",
    "json": '{"api_key": "{B}"}',
    "json in json": '"{\\"api_key\\": \\"{B}\\"}"',
    "compact json": '{"password":"{B}"}',
    "python dict": "{'password': '{B}'}",
    "python bytes": "{b'authorization': b'{B}'}",
    "python tuple": "ValueError('password', '{B}')",
    "python call": "connect(user='u', password='{B}')",
    "ruby hash": ":secret=>{B}",
    "yaml": "client_secret: {B}",
    "toml": 'token = "{B}"',
    "ini": "password = {B}",
    "conninfo": "host=h user=u password={B} dbname=d",
    "quoted conninfo": "host=h password='{B} x' dbname=d",
    "ado": "Server=h;Uid=u;Pwd={B};",
    "azure storage": "AccountName=a;AccountKey={B}==;EndpointSuffix=core.windows.net",
    "service bus": "Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey={B}=",
    "dsn": "postgresql://u:{B}@h:5432/d",
    "dsn with at": "postgresql://u:p@{B}@h/d",
    "dsn with slash": "postgresql://u:{B}/x@h/d",
    "redis": "redis://:{B}@h:6379/0",
    "amqp": "amqps://u:{B}@broker/vhost",
    "url token": "https://{B}@github.com/o/r.git",
    "query token": "GET https://h/x?access_token={B}&a=1",
    "query key": "GET https://h/x?key={B}",
    "query api key": "https://h/x?a=1&api_key={B}",
    "query code": "https://h/cb?code={B}&state=x",
    "sas": "https://acc.blob.core.windows.net/c/b?sv=2020&sig={B}%3D",
    "presigned": "https://b.s3.amazonaws.com/k?X-Amz-Signature={H}{H}&X-Amz-Date=a",
    "security token": "https://b.s3.amazonaws.com/k?X-Amz-Security-Token={B}",
    "encoded query": "password%3D{B}",
    "slack hook": "https://hooks.slack.com/services/T000/B000/{B}",
    "discord hook": "https://discord.com/api/webhooks/123/{B}",
    "otpauth": "otpauth://totp/x?secret={B}",
    "flag": "psql --password {B}",
    "flag with sign": "tool --token={B}",
    "short flag": "mysql -u root -p{B}",
    "curl": "curl -u admin:{B} https://h",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE{B}\nabc\n-----END RSA PRIVATE KEY-----",
    "openssh": "-----BEGIN OPENSSH PRIVATE KEY-----\n{B}\n-----END OPENSSH PRIVATE KEY-----",
    "pem cut off": "-----BEGIN PRIVATE KEY-----\nMIIE{B}",
    "pem in json": '{"k": "-----BEGIN EC PRIVATE KEY-----\\n{B}\\n-----END EC PRIVATE KEY-----"}',
    "sentence": "the password is {B}",
    "german": "Passwort: {B}",
    "form": '<input type="password" value="{B}">',
    "element": "<password>{B}</password>",
    "twilio": "AC0123456789abcdef0123456789abcdef auth {B}",
}


def _filled(form):
    parts = {"{B}": BODY, "{H}": HEX, "{A}": BASIC, "{J}": JWT}
    for mark, part in parts.items():
        form = form.replace(mark, part)
    return form


def _token(form):
    if form == "J":
        return JWT
    head = re.match(r".*?(?=[BHU]{1,2}(?:_B|\.[BH])?$|H-us)", form)[0]
    tail = form[len(head) :]
    return head + tail.replace("B", BODY).replace("U", BODY[:16].upper()).replace("H", HEX)


SECRETS = [
    *((form, f"sent with {_token(form)} to it") for form in TOKENS.split()),
    *((name, _filled(form)) for name, form in TEXTS.items()),
]


CONTEXTS = (
    """
token = "{}"|TOKEN={}|token: {}|x-vault-token: {}|X-Tenant-Token: {}|FOO_KEY={}|FOO_API_TOKEN={}
//registry.npmjs.org/:_authToken={}|machine h login u password {}|tool --auth {}|tool --api-key={}
tool --key {}|apikey {}|hmac_secret: {}|signing_secret={}|using token {}|with key {}|the key is {}
api key {} was refused|invalid api key: {}|Incorrect API key provided: {}|token {} expired
credentials: {}|{"accessToken":"{}"}|client.login("{}")|Client(token="{}")|Client(key="{}")
set_auth("{}")|Authorization: {}|authorization: token {}|X-Auth: {}|x-functions-key: {}
Ocp-Apim-Subscription-Key: {}|https://h/x?token={}|https://h/x?sig={}|export SECRET={}
""".strip()
    .replace("\n", "|")
    .split("|")
)
"""What gives a token of an unknown maker away."""

ALPHABETS = {
    "hexadecimal": "0123456789abcdef",
    "letters and digits": string.ascii_letters + string.digits,
    "small": string.ascii_lowercase + string.digits,
    "capital": string.ascii_uppercase + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
    "base64 of addresses": string.ascii_letters + string.digits + "-_",
}


def _shows(text):
    return any(part in text for part in (BODY[:16], BODY[:16].upper(), HEX, BASIC[:16]))


def test_nearly_every_known_form_is_hidden():
    """Of some 200 forms of secrets in texts at least 98 % are hidden."""
    assert len(SECRETS) >= 190
    assert all(_shows(text) for _, text in SECRETS)
    redactor = Redactor()
    seen = [name for name, text in SECRETS if _shows(redactor.text(text))]
    assert len(seen) <= 0.02 * len(SECRETS), seen


@pytest.mark.parametrize("length", [24, 32, 44])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_a_token_of_an_unknown_maker_is_known_by_what_stands_before_it(alphabet, length):
    """Where a name, a word, a header or a call speaks of a secret, drawn characters are hidden."""
    redactor, chance = Redactor(), random.Random(length)
    shown = []
    for context in CONTEXTS:
        for _ in range(10):
            token = "".join(chance.choice(ALPHABETS[alphabet]) for _ in range(length))
            if token[2:-2] in redactor.text(context.replace("{}", token)):
                shown.append(context.replace("{}", token))
    assert len(shown) <= 0.05 * 10 * len(CONTEXTS), shown


def test_a_number_under_a_secrets_name_is_hidden():
    """A UUID is mostly the number of something; under the name of a secret it is the secret."""
    redactor, number = Redactor(), "0199c0de-7d1e-4b6a-8f3e-2b1c4d5e6f70"
    for name in ("x-vault-token: ", "client_secret: ", "token = ", "api_key="):
        assert number not in redactor.text(name + number)
    assert number in redactor.text("session: " + number)


@pytest.mark.parametrize(
    "wrap", [lambda t: [t], lambda t: {"a": {"b": t}}, RuntimeError, str.encode]
)
def test_what_is_hidden_in_a_text_is_hidden_in_a_structure(wrap):
    """Lists, mappings, exceptions and bytes hide the same forms."""
    redactor = Redactor()
    shown = [name for name, text in SECRETS if _shows(json.dumps(redactor.value(wrap(text))))]
    assert len(shown) <= 0.02 * len(SECRETS), shown


ORDINARY = (
    """
the next token: Paris|Bearer of bad news arrived|primary key: customer_account_identifier
cache key: 9f86d081884c7d659a2feaa0c55ad015|foreign key=orders_customer_id_fkey
Secret: the sauce is butter|cookie: chocolate chip, 200 g flour, bake at 180
2 cookies = 1 treat for everyone here|The authorization: see chapter 4 for all of it
dsn: Delivery Status Notification|monkey: banana_banana_banana_banana
passwd: see /etc/passwd and shadow|max token = 4096|token: 512 of 4096 used
def f(token: str, secret: bytes) -> None:|password: str = None
SELECT * FROM users WHERE token = $1 AND id = $2|Stop token='</s>' reached
see https://github.com/org/repo:main@v1 docs|http://host:notaport/path mail me at a@b.c
docker pull http://reg:5000/img@sha256:abc|time https://x/y at 10:30 by bob@corp.com
keyboard key: ArrowLeftArrowRightUp|api key missing: set OPENAI_API_KEY
set DATABASE_URL, no password: yes|the CSS class sk-fading-circle1|locale sk-SK-x-variant
the key point of the whole meeting|openssl s_client -key server4.pem -cert c.pem
object key 9f86d081884c7d659a2feaa0c55ad015 was uploaded|login("static/index2.html")
x-idempotency-key: 9f86d081884c7d659a2feaa0c55ad015|the key is customer_account_identifier
session token: expired|request id: 0199c0de-7d1e-7b6a-8f3e-2b1c4d5e6f70
thread 0199c0de-7d1e-7b6a-8f3e-2b1c4d5e6f70 resumed|model gpt-4o-mini-2024-07-18 answered
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

_HINT = re.compile(
    r"key|passw|secret|token|auth|cookie|credential|bearer|code|session", re.IGNORECASE
)
_LIBRARY = """
getpass secrets urllib.request netrc hmac hashlib tokenize configparser argparse ssl shlex
json.decoder token ast csv email.message asyncio.base_events collections uuid
"""


def _library_lines():
    """Return lines of the standard library that speak of keys, tokens and passwords."""
    for name in _LIBRARY.split():
        for line in inspect.getsource(importlib.import_module(name)).splitlines():
            if _HINT.search(line) and len(line.strip()) > 12:
                yield line.strip()


def test_ordinary_texts_are_left_alone():
    """Sentences that only sound like secrets stay as they are."""
    redactor = Redactor()
    assert [text for text in ORDINARY if redactor.text(text) != text] == []


def test_programs_that_speak_of_secrets_are_left_alone():
    """At most 2 % of the lines of programs about keys and passwords are touched."""
    lines = list(_library_lines())
    assert len(lines) > 300
    redactor = Redactor()
    touched = [line for line in lines if redactor.text(line) != line]
    assert len(touched) <= 0.02 * len(lines), touched


def test_json_stays_json():
    """What is hidden inside of encoded JSON leaves it readable as JSON."""
    redactor = Redactor()
    for name, text in TEXTS.items():
        encoded = json.dumps({"content": _filled(text), "more": [1, "two"]})
        assert json.loads(redactor.text(encoded))["more"] == [1, "two"], name
