#!/usr/bin/env bash
# tables_peers.sh DIR: put the servers that `tables.py --peers DIR` compares with into DIR. Node.js, Java and Python are there already.
set -euo pipefail
mkdir -p "$1/js" && cd "$1"
npm install --prefix js --no-audit --no-fund dynalite amplify-dynamodb-simulator
for each in mini:ministack moto:moto[server]; do
    python3 -m venv "${each%%:*}"
    "${each%%:*}/bin/pip" install --quiet "${each#*:}"
done
