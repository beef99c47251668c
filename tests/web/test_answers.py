"""Every public error has a status of its own, once for pages and JSON."""

from typing import Final

import pytest

from oban_powertools import PowertoolsError, errors
from oban_powertools.web.answers import find_problem, status_of, title_of
from tests.project.test_errors import ERRORS, _fields

STATUSES: Final = {
    "powertools_error": 500,
    "configuration": 500,
    "dsn_missing": 500,
    "embedded_missing": 500,
    "embedded_not_installed": 500,
    "inherited_server": 500,
    "extra_missing": 500,
    "invalid_setting": 422,
    "webhooks_not_installed": 500,
    "webhook_secret_missing": 500,
    "invalid_argument": 422,
    "database_unavailable": 503,
    "read_only_database": 503,
    "schema": 503,
    "schema_missing": 503,
    "schema_behind": 503,
    "schema_ahead": 503,
    "schema_unknown": 503,
    "shared_jobs_table": 503,
    "database_encoding": 503,
    "unknown_oban_schema": 503,
    "invalid_workflow": 422,
    "idempotency_conflict": 409,
    "unstorable_value": 422,
    "unfit_value": 422,
    "unsupported_annotation": 500,
    "step_not_completed": 409,
    "wait_timeout": 500,
    "powertools_closed": 500,
    "another_loop": 500,
    "reserved_meta": 500,
    "not_in_step": 500,
    "not_in_worker": 500,
    "opened_in_worker": 500,
    "inline_mode": 500,
    "cursor_expired": 410,
    "not_found": 404,
    "workflow_not_found": 404,
    "step_not_found": 404,
    "job_not_found": 404,
    "queue_not_found": 404,
    "webhook_not_found": 404,
    "webhook_delivery_not_found": 404,
    "audit_record_not_found": 404,
    "incident_not_found": 404,
    "target_not_found": 404,
    "preview_not_found": 404,
    "bulk_not_found": 404,
    "command_refused": 409,
    "already_terminal": 409,
    "waiting_on_dependencies": 409,
    "unknown_status": 422,
    "unsupported_semantics": 409,
    "workflow_ended": 409,
    "illegal_transition": 409,
    "unsupported_recovery_action": 422,
    "unattributed_actor": 401,
    "reserved_actor": 403,
    "reason_required": 428,
    "not_authorized": 403,
    "incident_resolved": 409,
    "unpublishable_change": 422,
    "unsupported_action": 422,
    "unsupported_target": 422,
    "illegal_repair": 409,
    "heartbeat_late": 409,
    "repair_requires_missing_executor": 409,
    "incident_mismatch": 409,
    "partly_inserted": 500,
    "function_process_ended": 500,
    "preview_of_another_actor": 403,
    "preview_consumed": 409,
    "preview_expired": 410,
    "preview_drifted": 409,
    "reason_too_short": 422,
    "bulk_filter": 422,
    "bulk_matches_nothing": 422,
    "bulk_too_large": 422,
    "bulk_count": 428,
    "execution_disabled": 409,
    "not_confirmed": 409,
    "approval_missing": 403,
    "own_preview": 409,
}
"""Code -> status."""

EVERY = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, PowertoolsError)]


def test_every_public_error_has_its_status() -> None:
    assert {error.code: status_of(error) for error in EVERY} == STATUSES


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_problem_has_the_code_the_sentence_and_what_may_be_done(error: type[PowertoolsError]) -> None:
    raised = error(**_fields(error))

    problem = find_problem(raised)

    assert problem is not None
    assert (problem.code, problem.legal_next) == (error.code, raised.legal_next_steps)
    assert problem.detail
    assert problem.title == title_of(problem.status)


def test_a_number_of_targets_that_is_wrong_is_no_missing_one() -> None:
    missing = find_problem(errors.BulkCountError(None, 101))
    wrong = find_problem(errors.BulkCountError(7, 101))

    assert missing is not None
    assert wrong is not None
    assert (missing.status, wrong.status) == (428, 412)
