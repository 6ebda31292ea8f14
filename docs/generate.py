#!/usr/bin/env python3
"""Makes errors.md of the table of codes in gateway/protocol/src/api/error.rs; a test compares.

What each code of Miroir's own means to a client stands here, and a code without a meaning ends the run.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
CODES = HERE.parent / "gateway/protocol/src/api/error.rs"
KINDS = {"InvalidRequest": "invalid_request", "Internal": "internal", "Auth": "auth", "System": "system"}

# What happened, and what helps.
MEANINGS = {
    "miroir_admin_ui_read_only": ("the console only shows, because of `--admin-ui read-only`", "use `miroir-ctl`, or the management API"),
    "miroir_alias_conflict": ("the alias has another version or kind by now, or its name is an index's", "read it again, then decide"),
    "miroir_alias_not_found": ("there is no alias of this name", ""),
    "miroir_backup_not_found": ("there is no backup of this number", ""),
    "miroir_canary_conflict": ("there is a canary of this name already", "delete it first, or take another name"),
    "miroir_canary_not_found": ("there is no canary of this name", ""),
    "miroir_csrf_token_invalid": ("a change came from the console without the token of its session", "log in again"),
    "miroir_idempotency_key_reused": ("the key was used for another request within 24 hours", "take a new key for each write"),
    "miroir_invalid_auth": ("a management route was asked without the admin key", "send it as `Authorization: Bearer`"),
    "miroir_jwt_invalid": ("the session token of a search page is wrong or has ended", "load the page again"),
    "miroir_jwt_scope_denied": ("the session token does not allow this", ""),
    "miroir_multi_alias_not_writable": ("an alias for several indexes was written to", "write to one of its indexes"),
    "miroir_no_quorum": ("no group can take every shard of the write; nothing of it was done", "bring nodes back, then repeat it"),
    "miroir_operation_conflict": ("the operation's phase does not allow this", "see `GET /_miroir/operations/N`"),
    "miroir_operation_not_found": ("there is no operation of this number", ""),
    "miroir_overloaded": ("the gateway is asked for more than it can answer in time", "wait for `Retry-After`, then repeat"),
    "miroir_primary_key_required": ("documents came for an index without a primary key that none could be found for", "name one with `?primaryKey=`"),
    "miroir_reserved_field": ("a document, a setting or a query names a field that begins with `_miroir_`", "use another name"),
    "miroir_rollover_policy_conflict": ("the policy contradicts another one, or what is there", "the message says which"),
    "miroir_rollover_policy_not_found": ("there is no rollover policy of this name", ""),
    "miroir_search_page_denied": ("the index has no search page for whoever asked", "see the page's configuration"),
    "miroir_search_page_not_found": ("the index has no search page", "configure one"),
    "miroir_settings_version_stale": ("no node has the version of settings that `X-Miroir-Min-Settings-Version` asks for", "repeat it a little later"),
    "miroir_shard_unavailable": ("a shard has no node that answers, and `--unavailable-shard-policy` is `error`", "bring nodes back, then repeat it"),
    "miroir_tenant_not_found": ("there is no tenant of this name in the table", ""),
    "miroir_tenant_unknown": ("the tenant belongs to no group, and unknown ones are refused", "add it to the table"),
    "miroir_too_many_logins": ("too many logins to the console came from this address", "wait for `Retry-After`"),
    "miroir_too_many_requests": ("an address has asked a search page too often", "wait for `Retry-After`"),
    "miroir_ttl_policy_not_found": ("the index has no policy by which documents end", ""),
    "miroir_ui_secret_missing": ("search pages have no secret to sign sessions with", "give the gateways one"),
    "miroir_write_not_pending": ("the write is not, or no longer, one that waits", "see `miroir-ctl writes list`"),
}

HEAD = """\
<!-- Made by docs/generate.py from gateway/protocol/src/api/error.rs; a test compares. -->
# Errors

Every error has Meilisearch's form: `message` for people, `code` and `type` for programs, `link` for more.
The gateway's own refusals have the codes below; a refusal by a node is passed on in the node's words and with its code.

`type` says who has to act: `invalid_request` and `auth` whoever asked, `system` whoever runs the nodes, `internal` whoever runs the gateway.
What may be repeated as it is: answers of 503, and nothing else.

## Miroir's own

| code | status | what happened | what helps |
|---|---|---|---|
"""

REST = """
## Meilisearch's, as the gateway gives them

What they mean is in [Meilisearch's reference](https://www.meilisearch.com/docs/reference/errors/error_codes).

| code | type | status |
|---|---|---|
"""


def codes():
    """Name, type and status of each code."""
    table = re.search(r"^codes! \{\n(.*?)^\}", CODES.read_text(), re.MULTILINE | re.DOTALL)
    for name, kind, status in re.findall(r'= "(\w+)", (\w+), (\d+);', table[1]):
        yield name, KINDS[kind], status


def errors():
    own = sorted(row for row in codes() if row[0].startswith("miroir_"))
    foreign = sorted(row for row in codes() if not row[0].startswith("miroir_"))
    if missing := [name for name, _, _ in own if name not in MEANINGS]:
        sys.exit(f"docs/generate.py: say under MEANINGS what these mean: {', '.join(missing)}")
    text = HEAD
    for name, _, status in own:
        what, helps = MEANINGS[name]
        text += f"| `{name}` | {status} | {what} | {helps} |\n"
    text += REST
    for name, kind, status in foreign:
        text += f"| `{name}` | {kind} | {status} |\n"
    return text


if __name__ == "__main__":
    (HERE / "errors.md").write_text(errors())
