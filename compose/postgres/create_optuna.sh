#!/bin/sh
# Run by the postgres image when its volume is empty: a database of their own for Optuna's studies.
set -e
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c 'CREATE DATABASE optuna'
