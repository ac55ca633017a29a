"""The error tree is its docstring."""

from __future__ import annotations

import re

import pytest

import carina.errors as errors

CLASSES = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.CarinaError)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_the_tree_in_the_docstring_names_every_error_with_its_status(error):
    documented = dict(re.findall(r"^[ │├└─]*(\w+Error) +(\d{3})", errors.__doc__, flags=re.MULTILINE))
    assert documented[error.__name__] == str(error.http_status)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_only_the_servers_own_faults_are_5xx(error):
    clients = errors.InvalidInputError | errors.NotFoundError | errors.ConflictError | errors.ForbiddenError
    is_clients_fault = issubclass(error, clients)
    assert (400 <= error.http_status < 500) == is_clients_fault
