"""What a name says of its value: that it is a secret, that it may be one, or nothing.

A name is read as its words, whatever its case and separators: ``apiKey``, ``API_KEY`` and
``x-api-key`` end in the same two. What a name is about stands at its end: a ``client_secret`` is a
secret, a ``secret_name`` is a name. Words are compared whole, so that a ``secretary`` and a
``tokenizer`` are what they are.
"""

from __future__ import annotations

import re
from enum import IntEnum

__all__ = ["Verdict", "contains", "judge", "words_of"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


class Verdict(IntEnum):
    """What is to be done with the value under a name."""

    SHOWN = 0
    JUDGED = 1
    """Shown unless the value itself looks like a secret."""
    HIDDEN = 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(phrase.split()) for phrase in text.split(","))


_SECRET = _phrases(
    "password,passwd,passphrase,passwort,kennwort,contraseña,secret,credential,dsn,jwt,otp,totp,"
    "cookie,authorization,apikey,accesskey,privatekey,secretkey,signingkey,encryptionkey,"
    "sessionkey,authtoken,accesstoken,refreshtoken,bearertoken,clientsecret,connstr,"
    "api key,private key,access key,secret key,signing key,encryption key,session key,account key,"
    "master key,shared key,subscription key,auth key,license key,deploy key,webhook key,ssh key,"
    "service key,storage key,openai key,anthropic key,azure key,aws key,hf key,stripe key,"
    "auth header,password hash,recovery code,backup code,verification code,connection string"
)
_MAYBE = _phrases(
    "pass,auth,bearer,pwd,pat,sas,pin,csrf,xsrf,tokens,signature,sig,hmac,sid,session,sessionid,"
    "session id,access key id,key id,nonce,salt,login,keys,webhook url"
)
_LONGEST = 3  # words in the longest of these phrases

# "token" is a credential in access_token and a unit of text in first_token and per_token.
_COUNTED = _words("""
n num no first last per next prev previous stop eos bos pad unk cls mask sep max min total
output input prompt completion reasoning cached image audio text special is has new one each
every single begin end start added predicted sampled draft accepted rejected
""")
_DENIED = _words("""
has is no not needs need requires require missing forget forgot uses
""")
_FORMS = _words("""
value text string str raw plain plaintext b64 base64 encoded encrypted old new current prod
production dev staging test live header
""")
"""What may stand behind the name of a secret, and it is still that secret."""


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case."""
    return tuple(word.lower() for word in _WORD.findall(name))


def judge(words: tuple[str, ...]) -> Verdict:
    """Return what a name says of its value.

    Args:
        words: The name, as `words_of` reads it.
    """
    if not words or words[0] in _DENIED:
        return Verdict.SHOWN
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _FORMS):
        words = words[:-1]
    plural = words[-1]
    single = (*words[:-1], plural.removesuffix("s")) if plural.endswith("s") else words
    if single[-1] == "token":
        return _token(words, single)
    tails = {name[-width:] for name in (words, single) for width in range(1, _LONGEST + 1)}
    if not _SECRET.isdisjoint(tails):
        return Verdict.HIDDEN
    return Verdict.SHOWN if _MAYBE.isdisjoint(tails) else Verdict.JUDGED


def _token(words: tuple[str, ...], single: tuple[str, ...]) -> Verdict:
    if len(single) > 1 and single[-2] in _COUNTED:
        return Verdict.SHOWN
    if words == single or (len(single) > 1 and single[-2] in ("access", "refresh", "auth", "api")):
        return Verdict.HIDDEN
    return Verdict.JUDGED  # tokens: mostly a number of them


def contains(words: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Say whether a phrase stands inside of a name, word by word."""
    width = len(part)
    return any(words[i : i + width] == part for i in range(len(words) - width + 1))
