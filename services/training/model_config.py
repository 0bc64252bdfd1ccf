"""The two things that a promotion reads and writes in a model's `config.pbtxt`: the version to serve, and the label names.

Text in, text out; comments and everything else stay as they are. Triton serves the version that the line

    version_policy: { specific: { versions: [ 3 ] } }

names, so that older versions can stay on disk and going back to one is a change of this line. Without it Triton serves the highest
number that it finds. Not a parser of protobuf's text format: it knows strings, comments and braces, and refuses a policy that
names several versions or `all`, because then there is no one live version to promote against.
"""

from __future__ import annotations

import re

from services.errors import ConfigurationError

__all__ = ["chosen_version", "labels_of", "with_chosen_version"]

#: A string, a comment, a brace, or a word: what must be told apart to find a field of the outermost level.
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*|[{}]|[A-Za-z_]\w*')
_SPECIFIC = re.compile(r"\{\s*specific\s*:?\s*\{\s*versions\s*:?\s*\[?\s*(\d+)\s*\]?\s*\}\s*\}")
_LATEST = re.compile(r"\{\s*latest\s*:?\s*\{\s*(?:num_versions\s*:?\s*1)?\s*\}\s*\}")
_LABELS = re.compile(r'key\s*:\s*"labels"\s*value\s*:?\s*\{\s*string_value\s*:\s*"([^"]*)"')


def chosen_version(config: str) -> int | None:
    """The version that the configuration names; None when it leaves the choice to Triton (the highest number).

    Raises:
        ConfigurationError: the policy lets Triton serve several versions at once.
    """
    place = _policy_place(config)
    if place is None:
        return None
    policy = _without_comments(config[place[0] : place[1]]).removeprefix("version_policy").lstrip().removeprefix(":")
    if _LATEST.fullmatch(policy.strip()):
        return None
    found = _SPECIFIC.fullmatch(policy.strip())
    if found is None:
        raise ConfigurationError(
            "config.pbtxt has a version_policy that may serve several versions: promotion needs one live version, as in "
            "version_policy: { specific: { versions: [ 1 ] } }"
        )
    return int(found.group(1))


def with_chosen_version(config: str, version: int) -> str:
    """The configuration that serves this version."""
    line = f"version_policy: {{ specific: {{ versions: [ {version} ] }} }}"
    place = _policy_place(config)
    if place is None:
        return config + ("" if config.endswith("\n") or not config else "\n") + line + "\n"
    return config[: place[0]] + line + config[place[1] :]


def labels_of(config: str) -> tuple[str, ...]:
    """The names in the parameter `labels`; empty when the model declares none."""
    found = _LABELS.search(_without_comments(config))
    return tuple(name.strip() for name in found.group(1).split(",") if name.strip()) if found else ()


def _policy_place(config: str) -> tuple[int, int] | None:
    """Where the field `version_policy` of the outermost level begins and ends."""
    depth, start = 0, None
    for token in _TOKEN.finditer(config):
        word = token.group()
        if word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            if depth == 0 and start is not None:
                return start, token.end()
        elif word == "version_policy" and depth == 0:
            start = token.start()
    if start is not None:
        raise ConfigurationError("config.pbtxt: the braces of version_policy do not match")
    return None


def _without_comments(config: str) -> str:
    return _TOKEN.sub(lambda token: "" if token.group().startswith("#") else token.group(), config)
