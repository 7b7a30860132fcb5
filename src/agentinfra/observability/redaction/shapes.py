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
        r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{12}|dapi[0-9a-f]{16}|dose[0-9a-f]{16}",  # AWS, Databricks
        r"gh[opusr]_[a-z0-9]{12}|github_pat_|gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[a-z0-9]{8}",
        r"xox[abeoprs](?:\.xox[bp])?-[a-z0-9]{6}|xapp-\d-[a-z0-9]{6}",  # Slack
        r"AIza[a-z0-9_\-]{16}|ya29\.[a-z0-9_\-]{8}|GOCSPX-[a-z0-9_\-]{12}",  # Google
        rf"(?:hf|api_org|r8|gsk|tgp_v1|lsv2_pt|lsv2_sk|ls_|pcsk|jina|e2b|npm|rubygems)_{_LONG}",
        rf"(?:xai|pplx|nvapi|tvly|csk|voyage|pypi|xkeysib|tskey|PMAK|NRAK|NRII|HRKU|pul|ico|fio-u)-{_LONG}",
        rf"(?:CLOJARS|dckr_pat|dckr_oat|do[opr]_v1|shp(?:at|ca|pa|ss)|figd|lin_api|lin_oauth|ntn)_{_LONG}",
        rf"(?:secret|glsa|glc|sntry[su]|pscale_tkn|pscale_pw|pscale_oauth|sbp|sb_secret|fo1|fm[12])_{_LONG}",
        rf"(?:pnu|rdme|shippo_live|shippo_test|tfp|duffel_live|duffel_test|phx|sgp|cfut|FLWSECK)_{_LONG}",
        r"SG\.[a-z0-9_\-]{8}|hv[sbr]\.[a-z0-9_\-]{12}|dp\.(?:pt|st|ct|sa)\.[a-z0-9]{12}",
        r"sq0(?:atp|csp)-[a-z0-9_\-]{12}|EZ[AT]K[a-z0-9]{16}|EAAA[a-z0-9]{16}|key-[0-9a-f]{16}",
        r"[0-9a-f]{32}-us\d|(?:SK|AC)[0-9a-f]{32}|fc-[0-9a-f]{16}|oy2[a-z0-9]{16}",
        r"AT(?:ATT3|BB|CTT3)[a-z0-9_\-=]{12}|AGE-SECRET-KEY-1|sha256~[a-z0-9_\-]{12}|ops_eyJ",
        r"\d{8,10}:AA[a-z0-9_\-]{12}|[MNO][a-z0-9_\-]{23}\.[a-z0-9_\-]{6}\.[a-z0-9_\-]{16}",
        r"eyJ[a-z0-9_\-]{8}",  # JSON web tokens
    )
)
"""How tokens of known makers begin."""

PASSWORDS: Final = r"passw(?:or)?ds?|passwort|kennwort|pass[_\-]?phrase"

HEADERS: Final = r"authorization|cookies?"

KEYS: Final = (
    r"api[_\-. ]?keys?|pwd|secrets?|tokens?|dsn|credentials?|(?:access|private|secret|signing|"
    r"encryption|session|account|shared|master|subscription|license|deploy)[_\-. ]?keys?"
    r"(?:[_\-]?id)?|auth|bearer|sig(?:nature)?|code|key|sid|session[_\-]?id|[cx]srf|jwt|pat|sas|t?otp|pin"
)
"""Names a value may stand behind; `names` judges them."""

CLOSING: Final = r"[\"'\\\]]{0,3}\s{0,4}"
"""What may stand between a name and its sign: quotes, brackets, blanks."""

ASSIGNED: Final = r":?=>?|%3[ad]"
STATED: Final = r":"
