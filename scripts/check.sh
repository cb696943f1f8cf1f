#!/usr/bin/env bash
# Everything but the tests: lint, format, types, layers. Run it inside the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
lint-imports
