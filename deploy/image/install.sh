#!/usr/bin/env bash
# Installs NepXy with exactly the locked packages, hashes checked: install.sh PREFIX [PYTHON]. The Dockerfile calls it, and so
# does a test, in a clean tree. PREFIX becomes a virtual environment that holds what serving needs, and no installer.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
prefix="${1:?say where to: install.sh PREFIX [PYTHON]}"
python="${2:-python3}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
pip=(-m pip --disable-pip-version-check --no-input)

"$python" -m venv "$prefix"
"$prefix/bin/python" "${pip[@]}" install --quiet --no-deps --require-hashes --only-binary=:all: \
	--requirement "$root/requirements-runtime.lock"

# The package is built beside, so that what builds it is in no image, and on a copy, so that nothing is left in the tree.
"$python" -m venv "$scratch/build"
"$scratch/build/bin/python" "${pip[@]}" install --quiet --no-deps --require-hashes --only-binary=:all: \
	--requirement "$root/deploy/image/build.lock"
mkdir "$scratch/source"
cp -R "$root/nepxy" "$root/setup.cfg" "$root/pyproject.toml" "$root/README.md" "$root/requirements.in" "$scratch/source"
"$scratch/build/bin/python" "${pip[@]}" wheel --quiet --no-index --no-build-isolation --no-deps \
	--wheel-dir "$scratch/wheels" "$scratch/source"
"$prefix/bin/python" "${pip[@]}" install --quiet --no-index --no-deps "$scratch"/wheels/nepxy-*.whl

"$prefix/bin/python" "${pip[@]}" check
"$prefix/bin/python" "${pip[@]}" uninstall --quiet --yes pip setuptools 2>/dev/null || true
# What is not in the image would be missed at the first payout: so it is asked for now.
"$prefix/bin/python" -c 'import nepxy.cli.serve, nepxy.cli.schema; from nepxy.storage.migration_check import check_files; assert check_files() == []'
echo "installed into $prefix: $("$prefix/bin/python" -c 'from importlib.metadata import version; print("nepxy", version("nepxy"))')"
