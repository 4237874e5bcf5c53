#!/bin/sh
# Runs the long fault tests with a seed that is told, so that a failure can be had again.
set -eu
SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
export SEED
echo "chaos: make chaos SEED=$SEED has the same run again"
status=0
.venv/bin/pytest -m chaos --timeout 3600 || status=$?
ODL_SIM_COUNT=${ODL_SIM_COUNT:-20000} .venv/bin/pytest --timeout 3600 tests/simulation/test_simulation.py || status=$?
echo "chaos: the seed was $SEED"
exit $status
