"""The management API as it describes itself: whatever follows the description is answered, and as described.

Schemathesis makes the requests from `/_miroir/openapi.json`, those that follow it and those that just do not.
"""

import itertools

import hypothesis
import pytest
import schemathesis
from conftest import NODE_KEY, free_ports, request, search_what_was_written

ADMIN_KEY = "an-admin-key-that-is-long"
# Requests made from the description of one route.
EXAMPLES = 15
# They do not end, or end what the others need.
LEFT_OUT = ["/_miroir/admin/events", "/_miroir/admin/logout"]

# What follows the description may still name what is not there; and see above for the state of the gateway.
NOT_CHECKED = [schemathesis.checks.not_a_server_error, schemathesis.checks.positive_data_acceptance]


def said(failure):
    """A failure in words, with all that it consists of."""
    if isinstance(failure, BaseExceptionGroup):
        return "\n".join(said(each) for each in failure.exceptions)
    return str(failure)


@pytest.fixture
def gateway(programs):
    """A gateway with a little of everything, so that routes have something to show."""
    node, (port, metrics) = programs.node(), free_ports(2)
    data = programs.folder
    arguments = ["--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{metrics}", "--shards", "4"]
    arguments += ["--replication-factor", "1", "--node", f"n0=http://127.0.0.1:{node}", "--cores", "2"]
    arguments += ["--store", f"sled:{data}/store", "--backup-dir", f"{data}/backups", "--tenant-affinity", "explicit"]
    secrets = {"MIROIR_NODE_MASTER_KEY": NODE_KEY, "MIROIR_ADMIN_API_KEY": ADMIN_KEY, "SEARCH_UI_JWT_SECRET": "secret"}
    programs.gateway(port, arguments, secrets)
    search_what_was_written(port, None)

    def change(method, path, body, expected):
        status, _, answer = request(port, method, path, body, ADMIN_KEY)
        assert status == expected, answer
        return answer

    change("POST", "/_miroir/aliases", {"name": "shelf", "target": "books"}, 201)
    change("POST", "/_miroir/indexes/books/ttl-policy", {}, 200)
    change("POST", "/_miroir/ui/search/books/config", {}, 200)
    change("PUT", "/_miroir/tenants/acme", {"group": 0}, 200)
    change("POST", "/_miroir/backups", None, 202)
    change("POST", "/_miroir/anti-entropy", None, 202)
    return port


@pytest.fixture
def described(gateway):
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{gateway}/_miroir/openapi.json", headers={"X-Admin-Key": ADMIN_KEY})


def test_every_route_answers_as_it_is_described(described):
    failures, asked = [], 0
    operations = [result.ok() for result in described.get_all_operations()]
    operations = [operation for operation in operations if operation.path not in LEFT_OUT]
    for operation, mode in itertools.product(operations, schemathesis.GenerationMode):

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def check(case):
            nonlocal asked
            asked += 1
            answer = case.call(headers={"X-Admin-Key": ADMIN_KEY}, timeout=60)
            # Some answers say that the gateway lacks something for now; none may say that it has failed.
            assert answer.status_code in (503, 507) or answer.status_code < 500, answer.text
            case.validate_response(answer, excluded_checks=NOT_CHECKED)

        try:
            check()
        except hypothesis.errors.Unsatisfiable:
            # Nothing can be wrong with a request that takes nothing.
            assert mode.is_negative, operation.path
        except (Exception, BaseExceptionGroup) as failure:
            failures.append(f"{operation.method.upper()} {operation.path}:\n{said(failure)}")
    assert not failures, "\n\n".join(failures)
    assert asked > 500, f"only {asked} requests were made"
