"""The shapes of secrets that are known by sight, as alternatives of one expression.

They follow the rule sets of secret scanners (gitleaks, detect-secrets, GitHub's list of partner
patterns): each begins with a literal that only its maker gives, so that one pass of a linear
automaton finds all. They are kept short: how far a secret goes is looked at where one was found.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ASSIGNED", "CLOSING", "HEADERS", "KEYS", "PASSWORDS", "PREFIXES", "STATED"]

_LONG = "[a-z0-9_\\-+/=]{12}"

PREFIXES: Final = "|".join(
    (
        r"sk-[a-z0-9_\-]{8}",  # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse ...
        r"(?:[srp]k_(?:live|test|prod)|rzp_(?:live|test))_[a-z0-9]{8}|whsec_[a-z0-9+/=]{12}",
        r"A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{12}|ABSK[a-z0-9+/]{16}",  # AWS
        r"bedrock-api-key-YmVk|dapi[0-9a-f]{16}|dose[0-9a-f]{16}|LTAI[a-z0-9]{12}",
        r"gh[opusr]_[a-z0-9]{12}|github_pat_|GR1348941[a-z0-9_\-]{12}",
        r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|ffct|imt|agent|oas)-[a-z0-9_\-.]{8}",
        r"xox[abeoprs](?:\.xox[bp])?-[a-z0-9\-]{6}|xapp-\d-[a-z0-9]{6}",  # Slack
        r"AIza[a-z0-9_\-]{16}|ya29\.[a-z0-9_\-]{8}|GOCSPX-[a-z0-9_\-]{12}",  # Google
        rf"(?:hf|api_org|r8|gsk|tgp_v1|lsv2_pt|lsv2_sk|ls_|pcsk|jina|e2b|npm|rubygems)_{_LONG}",
        rf"(?:xai|pplx|nvapi|tvly|csk|voyage|pypi|xkeysib|tskey|PMAK|NRAK|NRII|HRKU|pul|ico|fio-u)-{_LONG}",
        rf"(?:NRIQ|NRBR|BBDC|BBFF|CFPAT|pat-(?:eu|na)1|rh-api)-{_LONG}|endr\+[a-z0-9\-]{{12}}",
        rf"(?:aio|apify_api|bb_pr|bb_ma|bkua|CCIPAT|cfk|figp|flb_live|shltm|ramp_sec|sqco)_{_LONG}",
        r"(?:rootly|slk|live|test|pk)_[0-9a-f]{32}|ak_live_[a-z0-9]{16}|salad_cloud_[a-z0-9]{1,7}_[a-z0-9]{7}",
        r"web_[a-z0-9]{32}\b|api_[a-z0-9.]{45}\b|API_KEY[A-Z0-9]{32}\b|NF-[a-z0-9]{32}\b|pk\.[a-z0-9\-]{32}\b",
        r"sk\.[a-z0-9\-.]{64}|na1\.[a-z0-9+/]{64}|3MVG9[a-z0-9._+/=]{64}|5AEP861[a-z0-9._=]{64}",
        r"VF\.(?:(?:DM|WS)\.)?[0-9a-f]{24}\.|1000\.[0-9a-f]{32}\.[0-9a-f]{16}|pi_[a-z0-9]{24}_secret_",
        rf"(?:CLOJARS|dckr_pat|dckr_oat|do[opr]_v1|shp(?:at|ca|pa|ss)|figd|lin_api|lin_oauth|ntn)_{_LONG}",
        rf"(?:secret|glsa|glc|sntry[su]|pscale_tkn|pscale_pw|pscale_oauth|sbp|sb_secret|fo1|fm[12][ar]?)_{_LONG}",
        rf"(?:pnu|rdme|shippo_live|shippo_test|tfp|duffel_live|duffel_test|phx|sgp|cfut|FLWSECK)_{_LONG}",
        r"SG\.[a-z0-9_\-]{8}|hv[sbr]\.[a-z0-9_\-]{12}|dp\.(?:pt|st|ct|sa)\.[a-z0-9]{12}",
        r"sq0[a-z]{3}-[a-z0-9_\-]{12}|EZ[AT]K[a-z0-9]{16}|EAA[A-Z][a-z0-9]{16}|key-[0-9a-f]{16}",
        r"[0-9a-f]{32}-us\d|(?:SK|AC)[0-9a-f]{32}|fc-[0-9a-f]{16}|oy2[a-z0-9]{16}",
        r"AT(?:ATT3|BB|CTT3)[a-z0-9_\-=]{12}|AGE-SECRET-KEY-1|sha256~[a-z0-9_\-]{12}|ops_eyJ",
        r"\d{8,10}:AA[a-z0-9_\-]{12}|[MNO][a-z0-9_\-]{23}\.[a-z0-9_\-]{6}\.[a-z0-9_\-]{16}",
        r"A3-[A-Z0-9]{6}-[A-Z0-9]{6}|API-[A-Z0-9]{26}\b|tk-us-[a-z0-9_\-]{16}|p8e-[a-z0-9]{16}",
        r"pat[a-z0-9]{14}\.[0-9a-f]{16}|[ps]at\.[a-z0-9_\-]{22}\.|dt0[a-z]\d\d\.[a-z0-9]{12}",
        r"AKCp[a-z0-9]{16}|cmVmd[a-z0-9]{16}|ZXlK[a-z0-9]{16}|4b1d[a-z0-9]{38}\b|v1\.0-[0-9a-f]{24}-",
        r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_\-]|FLW(?:PUB|SEC)K(?:_TEST|-)",
        r"[a-z0-9]{14}\.atlasv1\.|[a-z0-9]{6}_[a-z0-9]{29}_mmk|s-s4t2(?:ud|af)-[0-9a-f]{16}",
        r"[a-z0-9_~.]{3}\dQ~[a-z0-9_~.\-]{20}|\d{15,16}(?:\||%(?:7c)?)[a-z0-9_\-]{27}|sm_[aps]at_[a-z0-9]{12}",
        r"eyJ[a-z0-9_\-]{8}",  # JSON web tokens
    )
)
"""How tokens of known makers begin."""

PASSWORDS: Final = r"passw(?:or)?ds?|passwort|kennwort|pass[_\-]?phrase"

HEADERS: Final = r"authorization|cookies?"

KEYS: Final = (
    r"api[_\-. ]?keys?|pwd|secrets?|tokens?|dsn|credentials?|(?:access|private|secret|signing|"
    r"encryption|session|account|shared|master|subscription|license|deploy)[_\-. ]?keys?"
    r"(?:[_\-]?id)?|auth|bearer|sig(?:nature)?|code|key|sid|session(?:[_\-]?id)?|[cx]srf|jwt|pat|sas|t?otp|pin"
)
"""Names a value may stand behind; `names` judges them."""

CLOSING: Final = r"[\"'\\\]]{0,3}\s{0,4}"
"""What may stand between a name and its sign: quotes, brackets, blanks."""

ASSIGNED: Final = r":?=>?|%3[ad]"
STATED: Final = r":"
